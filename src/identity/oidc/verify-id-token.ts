import { errors, jwtVerify } from "jose";
import type { Claims } from "./conditions.js";
import type { TrustRule } from "./contract.js";
import type { FactoryRules } from "./factory-rules.js";
import { type KeySource, keySourceId } from "./fetch-key-set.js";
import type { IdTokenFailure } from "./id-token-failure.js";
import { matches, type RuleVerdict } from "./judge-rules.js";
import type { KeySets } from "./key-sets.js";
import type { ParsedIdToken, parseIdToken } from "./parse-id-token.js";

export type VerifyDeps = { keySets: Pick<KeySets, "find">; now: () => Date };

/** Whether a token holds for one rule. The claims stand there even when it does not: a person asks why. */
export type IdTokenCheck = { holds: true; claims: Claims } | { holds: false; failed: IdTokenFailure; claims?: Claims };

const maxAheadSeconds = 24 * 3_600;
/** How far the clock of an issuer may be off. Not for `exp`: an expired token is expired. */
const skewSeconds = 60;

/**
 * Verifies an ID token for one rule, and says what fails first. Never throws for what a token or its issuer does; never
 * quotes the token. For those who debug a rule; whoever is let in goes through `Workloads`.
 * @param of.factoryId - whose key sets are looked at
 */
export async function checkIdToken(
  deps: VerifyDeps,
  of: { factoryId: string; verdict: RuleVerdict },
  presented: { token: string; parsed: ReturnType<typeof parseIdToken> },
): Promise<IdTokenCheck> {
  const { token, parsed } = presented;
  if (typeof parsed === "string") return { holds: false, failed: parsed };
  const { claims } = parsed;
  const source = keySourceOf(of.verdict.rule);
  const failed =
    failureOfTerms(of.verdict) ??
    failureOfTimes(parsed, deps.now()) ??
    (await verifySignature(deps, token, parsed, { factoryId: of.factoryId, source }));
  return typeof failed === "string" ? { holds: false, failed, claims } : { holds: true, claims };
}

function failureOfTerms({ issuer, audience, algorithm }: RuleVerdict): IdTokenFailure | undefined {
  if (!issuer) return "issuer";
  if (!audience) return "audience";
  return algorithm ? undefined : "algorithm";
}

/** A token whose signature holds for at least one source, and the key sets by which it does. */
export type VerifiedForRules = {
  sources: readonly string[];
  revisions: readonly { source: string; revision: string }[];
  /** False while a source is out of reach: there may be more that lets the bearer in. */
  isComplete: boolean;
};

/**
 * Verifies an ID token with each source of keys of the rules that match it: two rules for one issuer may trust different
 * keys. Rules come first, so that a token that would be refused anyway asks no issuer for its keys: that takes time, and
 * would tell a stranger whom a factory trusts.
 * @param verdicts - of the rules that are for its issuer and audience
 * @returns what failed, when it holds for none
 */
export async function verifyForRules(
  deps: VerifyDeps,
  { token, parsed }: { token: string; parsed: ParsedIdToken },
  { rules, factory }: FactoryRules,
  verdicts: readonly RuleVerdict[],
): Promise<VerifiedForRules | IdTokenFailure | "no-match"> {
  const meant = verdicts.filter(({ algorithm }) => algorithm);
  if (meant.length === 0) return nearestFailure(parsed, rules, verdicts);
  const wrongTime = failureOfTimes(parsed, deps.now());
  if (wrongTime) return wrongTime;
  const sourcesById = new Map(
    meant
      .filter(matches)
      .map(({ rule }) => keySourceOf(rule))
      .map((source) => [keySourceId(source), source]),
  );
  if (sourcesById.size === 0) return "no-match";
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
  return { sources: revisions.map(({ source }) => source), revisions, isComplete };
}

/** What a token lacks for the nearest of the rules, none of which is for it. */
function nearestFailure(
  { issuer }: ParsedIdToken,
  rules: readonly TrustRule[],
  verdicts: readonly RuleVerdict[],
): IdTokenFailure {
  if (verdicts.length > 0) return "algorithm";
  return rules.some((rule) => rule.issuer === issuer) ? "audience" : "issuer";
}

/** Where the rule says that its issuer's keys are. */
export function keySourceOf(rule: Pick<TrustRule, "issuer" | "jwksUrl" | "jwks">): KeySource {
  if (rule.jwks !== undefined) return { kind: "pasted", jwks: rule.jwks };
  if (rule.jwksUrl !== undefined) return { kind: "url", url: rule.jwksUrl };
  return { kind: "discovery", issuer: rule.issuer };
}

/** RFC 7519, sections 4.1.4 to 4.1.6. A token that lives longer than a day is no proof of who is here now. */
export function failureOfTimes(parsed: ParsedIdToken, now: Date): IdTokenFailure | undefined {
  const seconds = now.getTime() / 1_000;
  if (parsed.expiresAt <= seconds) return "expired";
  // Before the length of its life: a clock that is days behind makes every token end too late as well.
  if (Math.max(parsed.notBefore ?? 0, parsed.issuedAt ?? 0) > seconds + skewSeconds) return "not-yet-valid";
  return parsed.expiresAt > seconds + maxAheadSeconds ? "too-long-lived" : undefined;
}

/**
 * Verifies the signature with the one key of the source that fits.
 * @returns the revision of the key set, or what failed
 */
export async function verifySignature(
  deps: VerifyDeps,
  token: string,
  parsed: ParsedIdToken,
  of: { factoryId: string; source: KeySource },
): Promise<{ revision: string } | IdTokenFailure> {
  const { algorithm, kid, issuer, audience } = parsed;
  const found = await deps.keySets.find(of, { kid, algorithm });
  if (typeof found === "string") return found;
  try {
    // Said again what has been checked before: a hole in our reading is then none in the library's.
    await jwtVerify(token, found.key, {
      algorithms: [algorithm],
      issuer,
      ...(audience !== undefined && { audience }),
      requiredClaims: ["exp", "sub", "aud"],
      clockTolerance: skewSeconds,
      currentDate: deps.now(),
    });
    return { revision: found.revision };
  } catch (error) {
    // Its message may quote claims. A TypeError is what a key of no use makes of it.
    if (error instanceof errors.JOSEError || error instanceof TypeError) return "signature";
    throw error;
  }
}
