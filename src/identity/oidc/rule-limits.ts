import type { Caller } from "../../core/caller.js";
import type { Grant } from "../../core/grant.js";
import { Problem } from "../../core/problem.js";

/** What a rule hands on. */
export type HandedOn = {
  grants: readonly Grant[];
  maxTtlSeconds?: number | undefined;
  deliverSecrets?: true | undefined;
};

/**
 * A rule never grants more than its maker has.
 * @throws Problem `forbidden`
 */
export function checkMaker(maker: Pick<Caller, "permissions" | "grants" | "maxTtlSeconds">, rule: HandedOn): void {
  if (!maker.permissions.has("registry-tokens:issue")) {
    throw beyond("this credential lacks registry-tokens:issue, which every rule hands on.");
  }
  if (rule.deliverSecrets && !maker.permissions.has("jobs:create")) {
    throw beyond("this credential lacks jobs:create, and without that it has no way to delivered secrets.");
  }
  const { grants: own } = maker;
  const wider = own && rule.grants.find((grant) => !isWithin(grant, own));
  if (wider) throw beyond(`the line for ${wider.registry} is wider than the grants of this credential.`);
  if (maker.maxTtlSeconds !== undefined && (rule.maxTtlSeconds ?? Number.POSITIVE_INFINITY) > maker.maxTtlSeconds) {
    throw beyond(`give it a maxTtlSeconds of ${maker.maxTtlSeconds} at most.`);
  }
}

const beyond = (what: string): Problem =>
  new Problem("forbidden", `A rule never grants more than its maker has: ${what}`);

/**
 * Whether one line of the maker's own reaches all that this one does. A registry counts as the same only when it is
 * written the same: what a name stands for is decided by a config that may change.
 */
export function isWithin(grant: Grant, own: readonly Grant[]): boolean {
  return own.some(
    (line) =>
      line.registry === grant.registry &&
      grant.actions.every((action) => line.actions.includes(action)) &&
      reaches(line.repositories, grant.repositories),
  );
}

/** Absent stands for every repository. */
function reaches(own: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean {
  if (own === undefined || wanted === undefined) return own === undefined;
  return wanted.every((repository) => own.includes(repository));
}
