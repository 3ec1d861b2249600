import type { TrustRule } from "./contract.js";
import type { FactoryRules } from "./factory-rules.js";
import { keySourceId } from "./fetch-key-set.js";
import type { IdTokenFailure } from "./id-token-failure.js";
import type { VerifiedIdToken } from "./judge-workload.js";
import { matchRules } from "./match-rules.js";
import type { ParsedIdToken } from "./parse-id-token.js";
import { failureOfTerms, failureOfTimes, keySourceOf, type VerifyDeps, verifySignature } from "./verify-id-token.js";

/** A token whose signature holds for at least one source, and the key sets by which it does. */
export type VerifiedForRules = Omit<VerifiedIdToken, "isTaken"> & {
  revisions: readonly { source: string; revision: string }[];
  /** False while a source is out of reach: there may be more that lets the bearer in. */
  isComplete: boolean;
};

/**
 * Verifies an ID token with each source of keys that the rules name which it meets, should it hold: two rules for one
 * issuer may trust different keys. Rules come first, so that a token that would be refused anyway asks no issuer for
 * its keys: that takes time, and would tell a stranger whom a factory trusts.
 * @returns what failed, when it holds for none
 */
export async function verifyForRules(
  deps: VerifyDeps,
  token: string,
  parsed: ParsedIdToken,
  { rules, factory }: FactoryRules,
): Promise<VerifiedForRules | IdTokenFailure | "no-match"> {
  const { issuer, audience, algorithm, claims } = parsed;
  const meant = rules.filter((rule) => failureOfTerms(parsed, rule) === undefined);
  if (audience === undefined || meant.length === 0) return nearestFailure(parsed, rules);
  const wrongTime = failureOfTimes(parsed, deps.now());
  if (wrongTime) return wrongTime;
  const matching = matchRules(meant, claims);
  if (matching.length === 0) return "no-match";
  const sourcesById = new Map(matching.map(keySourceOf).map((source) => [keySourceId(source), source]));
  const outcomes = await Promise.all(
    [...sourcesById].map(async ([id, source]) => ({
      source: id,
      outcome: await verifySignature(deps, token, parsed, { factoryId: factory.id, source }),
    })),
  );
  const revisions = outcomes.flatMap(({ source, outcome }) =>
    typeof outcome === "string" ? [] : [{ source, revision: outcome.revision }],
  );
  if (revisions.length === 0) {
    const [first] = outcomes.flatMap(({ outcome }) => (typeof outcome === "string" ? [outcome] : []));
    return first ?? "key-unknown";
  }
  const isComplete = outcomes.every(({ outcome }) => outcome !== "issuer-unreachable");
  const sources = revisions.map(({ source }) => source);
  return { issuer, audience, algorithm, claims, sources, revisions, isComplete };
}

/** Of the rules that a token is not meant for, what it lacks for the nearest one. */
function nearestFailure(parsed: ParsedIdToken, rules: readonly TrustRule[]): IdTokenFailure {
  const failures = new Set(rules.map((rule) => failureOfTerms(parsed, rule)));
  const order = ["algorithm", "audience"] as const;
  return order.find((failure) => failures.has(failure)) ?? "issuer";
}
