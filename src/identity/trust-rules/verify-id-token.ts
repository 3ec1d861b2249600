import { hash } from "node:crypto";
import { errors, jwtVerify } from "jose";
import { z } from "zod";
import { federationClaim } from "../../core/federation-claim.js";
import type { PrismaClient } from "../../db/database.js";
import { parseStrictJwt } from "../strict-jwt.js";
import type { Claims } from "./conditions.js";
import { maxIdTokenLength, SignatureAlgorithm, type TrustRule } from "./contract.js";
import type { FactoryRules } from "./factory-rules.js";
import { matches, type RuleVerdict } from "./judge-rules.js";
import { type KeySets, type KeySource, keySourceId } from "./key-sets.js";

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

/** What an ID token says, as far as it can be read without a key. Nothing of it is to be believed yet. */
export type ParsedIdToken = {
  algorithm: SignatureAlgorithm;
  kid: string | undefined;
  issuer: string;
  /** Absent when there is none, or more than one. */
  audience: string | undefined;
  /** Seconds since 1970. */
  expiresAt: number;
  notBefore: number | undefined;
  issuedAt: number | undefined;
  tokenId: string | undefined;
  claims: Claims;
};

const Text = z.string().min(1);
const Time = z.number().nonnegative();
const Header = z.looseObject({ kid: Text.optional() });

/** The claims that RFC 7519, section 4.1, gives a type. `aud` is judged apart. */
const Registered = z.looseObject({
  iss: Text,
  sub: Text,
  exp: Time,
  nbf: Time.optional(),
  iat: Time.optional(),
  jti: Text.optional(),
});

const maxClaims = 200;

/** What changes what is signed, or how it is to be read (RFC 7797, RFC 7516, RFC 7519 section 5.2). */
const refusedHeaders = ["b64", "zip", "enc", "cty"] as const;

/**
 * Reads an ID token (OpenID Connect Core 1.0, section 2) and refuses what no issuer makes: a type other than `JWT`,
 * an algorithm with a shared secret or none, claims of another type than theirs.
 */
export function parseIdToken(
  token: string,
): ParsedIdToken | Extract<IdTokenFailure, "malformed" | "type" | "algorithm"> {
  const parts = parseStrictJwt(token, maxIdTokenLength);
  if (!parts || refusedHeaders.some((name) => Object.hasOwn(parts.header, name))) return "malformed";
  const { typ, alg } = parts.header;
  // An access token of ours or of the issuer's (`at+jwt`, RFC 9068), a logout token, a proof: each is signed as well.
  if (typ !== undefined && (typeof typ !== "string" || typ.toUpperCase() !== "JWT")) return "type";
  // What we sign for the clouds is for them alone, whatever a rule says.
  if (Object.hasOwn(parts.payload, federationClaim)) return "type";
  const algorithm = SignatureAlgorithm.safeParse(alg);
  if (!algorithm.success) return "algorithm";
  const header = Header.safeParse(parts.header);
  const registered = Registered.safeParse(parts.payload);
  if (!header.success || !registered.success || Object.keys(parts.payload).length > maxClaims) return "malformed";
  const { iss, exp, nbf, iat, jti } = registered.data;
  return {
    algorithm: algorithm.data,
    kid: header.data.kid,
    issuer: iss,
    audience: oneAudience(parts.payload.aud),
    expiresAt: exp,
    notBefore: nbf,
    issuedAt: iat,
    tokenId: jti,
    claims: parts.payload,
  };
}

/** A list of one is how some issuers write one; with a list of two somebody else could present the token here. */
function oneAudience(value: unknown): string | undefined {
  const audience: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value;
  return typeof audience === "string" && audience !== "" ? audience : undefined;
}

/**
 * Why an ID token is not believed, in the order in which it is found out. Whoever presents the token is never told:
 * these are for the log and for those who may read the rules.
 */
export type IdTokenFailure =
  | "malformed"
  | "type"
  | "algorithm"
  | "issuer"
  | "audience"
  | "expired"
  | "not-yet-valid"
  | "too-long-lived"
  | "issuer-unreachable"
  | "key-unknown"
  | "signature";

// A replica knows the time of the database to a fraction of a second, and some leeway is given to issuers: a token that
// is expired here may still be valid there.
const keepAfterExpiryMs = 120_000;

/**
 * Takes the id of a token, for good. Compare-and-set: of two presentations at the same instant, on any replicas,
 * exactly one gets `true`.
 * @param token - `expiresAt`: after it nobody takes the token anyway
 */
export async function takeTokenId(
  prisma: PrismaClient,
  factoryId: string,
  token: { issuer: string; tokenId: string; expiresAt: Date },
): Promise<boolean> {
  // As a list in JSON, so that no issuer and `jti` read like another's.
  const idHash = hash("sha256", JSON.stringify([token.issuer, token.tokenId]), "buffer");
  const taken = await prisma.$executeRawUnsafe(
    `/* take-token-id */ INSERT INTO used_token_ids (factory_id, id_hash, expires_at)
     VALUES ($1::uuid, $2::bytea, $3::timestamptz) ON CONFLICT DO NOTHING`,
    factoryId,
    idHash,
    new Date(token.expiresAt.getTime() + keepAfterExpiryMs).toISOString(),
  );
  return taken === 1;
}

/** Forgets the ids of tokens that have expired. */
export async function deleteExpiredTokenIds(prisma: PrismaClient): Promise<number> {
  return prisma.$executeRawUnsafe("DELETE FROM used_token_ids WHERE expires_at < now()");
}
