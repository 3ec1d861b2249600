import type { Caller } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import { isWithin } from "../trust-rules/rule-changes.js";
import type { DevicePolicy } from "./contract.js";

export type Maker = Pick<Caller, "permissions" | "grants" | "maxTtlSeconds">;

/**
 * Devices never get more than whoever lets them in has.
 * @throws Problem `forbidden`
 */
export function checkPolicy(maker: Maker, policy: DevicePolicy): void {
  checkMayLetIn(maker);
  const { grants: own } = maker;
  if (own && !policy.grants) throw beyond("name grants, as this credential is limited by its own.");
  const wider = own && policy.grants?.find((grant) => !isWithin(grant, own));
  if (wider) throw beyond(`the line for ${wider.registry} is wider than the grants of this credential.`);
  if (maker.maxTtlSeconds !== undefined && (policy.maxTtlSeconds ?? Number.POSITIVE_INFINITY) > maker.maxTtlSeconds) {
    throw beyond(`give them a maxTtlSeconds of ${maker.maxTtlSeconds} at most.`);
  }
}

/**
 * Whoever lets a device in, or in again, could ask for its tokens too.
 * @throws Problem `forbidden`
 */
export function checkMayLetIn(maker: Pick<Maker, "permissions">): void {
  if (maker.permissions.has("registry-tokens:issue")) return;
  throw beyond("this credential lacks registry-tokens:issue, which is what devices are let in for.");
}

export const beyond = (what: string): Problem =>
  new Problem("forbidden", `Devices never get more than the caller who registers them has: ${what}`);
