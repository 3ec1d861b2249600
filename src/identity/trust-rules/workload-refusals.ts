import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import type { FactoryRef } from "../../core/caller.js";
import { boundedText, type RuleVerdict } from "./judge-rules.js";
import type { WorkloadRefusal } from "./judge-workload.js";
import { type KeySets, keySourceId } from "./key-sets.js";
import { failureOfTimes, keySourceOf, type ParsedIdToken, verifySignature } from "./verify-id-token.js";

type Deps = { audit: AuditWriter; keySets: Pick<KeySets, "findHeld">; now: () => Date };

export type RefusedToken = {
  token: string;
  parsed: ParsedIdToken;
  factory: FactoryRef;
  /** Of the rules for its issuer and audience. */
  verdicts: readonly RuleVerdict[];
  refusal: WorkloadRefusal;
  requested: RequestedBy | undefined;
};

/** Rules that an event names, the nearest first, and conditions of each. */
const maxRules = 10;
const maxConditions = 10;
/** Different refusals of a factory in a minute; those beyond are counted by their reason. */
const maxOfFactory = 50;

/**
 * Writes down that an ID token was refused that is of the issuer and audience of one of the factory's rules, with the
 * names of the conditions that failed. No issuer is asked for its keys because of it: where they are not held, the event
 * says that the signature was not verified. A token whose signature is wrong leaves no event.
 */
export async function recordWorkloadRefusal(deps: Deps, refused: RefusedToken): Promise<void> {
  const { parsed, factory, verdicts, refusal, requested } = refused;
  if (!isAboutRules(refusal) || verdicts.length === 0 || failureOfTimes(parsed, deps.now())) return;
  const verified = await isVerified(deps, refused);
  if (verified === undefined) return;
  const unmatched = verdicts
    .map((verdict) => ({ id: verdict.rule.id, name: verdict.rule.name, failed: failedConditions(verdict) }))
    .toSorted((one, other) => one.failed.length - other.failed.length || (one.name < other.name ? -1 : 1))
    .slice(0, maxRules)
    .map((rule) => ({ ...rule, failed: rule.failed.slice(0, maxConditions) }));
  const facts = { action: "workload.refused", issuer: boundedText(parsed.issuer), reason: refusal, verified } as const;
  const event = {
    at: deps.now(),
    outcome: "refused",
    actor: { kind: "unknown", id: "", name: "" },
    factory,
    ...requested,
  } as const;
  await deps.audit.writeCounted(
    {
      key: [parsed.issuer, parsed.audience ?? "", refusal, String(verified), JSON.stringify(unmatched)],
      event: { ...event, body: { ...facts, unmatched } },
    },
    { key: [refusal], event: { ...event, body: { ...facts, issuer: "others", unmatched: [] } }, maxOfFactory },
  );
}

function isAboutRules(refusal: WorkloadRefusal): boolean {
  return ["no-match", "algorithm", "no-token-id", "already-used"].includes(refusal);
}

/** @returns whether the signature holds; `undefined` when it does not */
async function isVerified(
  { keySets, now }: Deps,
  { token, parsed, factory, verdicts }: RefusedToken,
): Promise<boolean | undefined> {
  const held = { keySets: { find: keySets.findHeld.bind(keySets) }, now };
  const ofRules = verdicts.map(({ rule }) => keySourceOf(rule));
  const sources = new Map(ofRules.map((source) => [keySourceId(source), source]));
  let isUnknown = false;
  for (const source of sources.values()) {
    const outcome = await verifySignature(held, token, parsed, { factoryId: factory.id, source });
    if (typeof outcome !== "string") return true;
    isUnknown ||= outcome === "issuer-unreachable";
  }
  return isUnknown ? false : undefined;
}

/** Names of claims, as the rule says them: nothing of the token. */
function failedConditions({ algorithm, conditions, tokenId }: RuleVerdict): string[] {
  const failed = conditions.filter(({ holds }) => !holds).map(({ condition }) => boundedText(condition.claim));
  return [...new Set([...(algorithm ? [] : ["alg"]), ...failed, ...(tokenId ? [] : ["jti"])])];
}
