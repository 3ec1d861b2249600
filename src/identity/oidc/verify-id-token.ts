import { errors, jwtVerify } from "jose";
import type { Claims } from "./conditions.js";
import type { TrustRule } from "./contract.js";
import type { KeySource } from "./fetch-key-set.js";
import type { IdTokenFailure } from "./id-token-failure.js";
import type { KeySets } from "./key-sets.js";
import { type ParsedIdToken, parseIdToken } from "./parse-id-token.js";

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
 * @param parsed - the token, where it is held against several rules
 */
export async function checkIdToken(
  deps: VerifyDeps,
  { factoryId, rule }: { factoryId: string; rule: TrustRule },
  token: string,
  parsed = parseIdToken(token),
): Promise<IdTokenCheck> {
  if (typeof parsed === "string") return { holds: false, failed: parsed };
  const { claims } = parsed;
  const failed =
    failureOfTerms(parsed, rule) ??
    failureOfTimes(parsed, deps.now()) ??
    (await verifySignature(deps, token, parsed, { factoryId, source: keySourceOf(rule) }));
  return typeof failed === "string" ? { holds: false, failed, claims } : { holds: true, claims };
}

/** Whether it is a token for this rule at all, whoever signed it. */
export function failureOfTerms(
  token: Pick<ParsedIdToken, "issuer" | "audience" | "algorithm">,
  rule: Pick<TrustRule, "issuer" | "audience" | "algorithms">,
): IdTokenFailure | undefined {
  if (token.issuer !== rule.issuer) return "issuer";
  if (token.audience !== rule.audience) return "audience";
  return rule.algorithms.includes(token.algorithm) ? undefined : "algorithm";
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
