import type { FactoryRules } from "./factory-rules.js";
import { type KeySource, keySourceId } from "./fetch-key-set.js";
import type { IdTokenFailure } from "./id-token-failure.js";
import type { VerifiedIdToken } from "./judge-workload.js";
import type { ParsedIdToken } from "./parse-id-token.js";
import { failureOfTerms, failureOfTimes, keySourceOf, type VerifyDeps, verifySignature } from "./verify-id-token.js";

/** A token whose signature holds for at least one source, and the key sets by which it does. */
export type VerifiedForRules = Omit<VerifiedIdToken, "isTaken"> & {
  revisions: readonly { source: string; revision: string }[];
};

/**
 * Verifies an ID token with each source of keys that the rules for its issuer, audience and algorithm name: two rules
 * for one issuer may trust different keys.
 * @returns what failed, when it holds for none
 */
export async function verifyForRules(
  deps: VerifyDeps,
  token: string,
  parsed: ParsedIdToken,
  { rules, factory }: FactoryRules,
): Promise<VerifiedForRules | IdTokenFailure> {
  const { issuer, audience, algorithm, claims } = parsed;
  const failures = new Set(rules.map((rule) => failureOfTerms(parsed, rule)));
  if (audience === undefined || !failures.has(undefined)) return nearest(failures);
  const wrongTime = failureOfTimes(parsed, deps.now());
  if (wrongTime) return wrongTime;
  const sources = new Map<string, KeySource>();
  for (const rule of rules) {
    if (failureOfTerms(parsed, rule) !== undefined) continue;
    const source = keySourceOf(rule);
    sources.set(keySourceId(source), source);
  }
  const outcomes = await Promise.all(
    [...sources].map(async ([id, source]) => ({
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
  return { issuer, audience, algorithm, claims, sources: revisions.map(({ source }) => source), revisions };
}

/** Of the rules that a token misses, what the nearest one lacks. */
function nearest(failures: ReadonlySet<IdTokenFailure | undefined>): IdTokenFailure {
  const order = ["algorithm", "audience"] as const;
  return order.find((failure) => failures.has(failure)) ?? "issuer";
}
