import type { AuditWriter } from "../../audit/record.js";
import type { RequestedBy } from "../../audit/requested-by.js";
import { holds } from "./conditions.js";
import type { TrustRule } from "./contract.js";
import type { FactoryRules } from "./factory-rules.js";
import { keySourceId } from "./fetch-key-set.js";
import type { WorkloadRefusal } from "./judge-workload.js";
import type { KeySets } from "./key-sets.js";
import { boundedText } from "./match-rules.js";
import { type ParsedIdToken, parseIdToken } from "./parse-id-token.js";
import { failureOfTimes, keySourceOf, verifySignature } from "./verify-id-token.js";

type Deps = { audit: AuditWriter; keySets: Pick<KeySets, "findHeld">; now: () => Date };

export type RefusedToken = {
  token: string;
  rules: FactoryRules;
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
  const { token, rules, refusal, requested } = refused;
  const parsed = parseIdToken(token);
  if (!isAboutRules(refusal) || typeof parsed === "string" || failureOfTimes(parsed, deps.now())) return;
  const { factory } = rules;
  const meant = rules.rules.filter(({ issuer, audience }) => issuer === parsed.issuer && audience === parsed.audience);
  if (meant.length === 0) return;
  const verified = await isVerified(deps, token, parsed, { factoryId: factory.id, meant });
  if (verified === undefined) return;
  const unmatched = meant
    .map((rule) => ({ id: rule.id, name: rule.name, failed: failedConditions(rule, parsed) }))
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
  token: string,
  parsed: ParsedIdToken,
  { factoryId, meant }: { factoryId: string; meant: readonly TrustRule[] },
): Promise<boolean | undefined> {
  const held = { keySets: { find: keySets.findHeld.bind(keySets) }, now };
  const sources = new Map(meant.map(keySourceOf).map((source) => [keySourceId(source), source]));
  let isUnknown = false;
  for (const source of sources.values()) {
    const outcome = await verifySignature(held, token, parsed, { factoryId, source });
    if (typeof outcome !== "string") return true;
    isUnknown ||= outcome === "issuer-unreachable";
  }
  return isUnknown ? false : undefined;
}

/** Names of claims, as the rule says them: nothing of the token. */
function failedConditions(rule: TrustRule, { algorithm, claims, tokenId }: ParsedIdToken): string[] {
  const failed = rule.conditions
    .filter((condition) => !holds(condition, claims))
    .map(({ claim }) => boundedText(claim));
  const isOfAlgorithm = rule.algorithms.includes(algorithm);
  const lacksId = rule.singleUse && tokenId === undefined;
  return [...new Set([...(isOfAlgorithm ? [] : ["alg"]), ...failed, ...(lacksId ? ["jti"] : [])])];
}
