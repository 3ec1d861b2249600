import type { FactoryRef } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { parseStrictJwt } from "../strict-jwt.js";
import type { Claims } from "./conditions.js";
import { maxIdTokenLength } from "./contract.js";
import { type AskedClaims, askedClaims, explainConditions } from "./explain-condition.js";
import type { ExplainedRule, Explanation } from "./explain-contract.js";
import type { IdTokenFailure } from "./id-token-failure.js";
import { decide, judgeRule, matches, type RuleVerdict } from "./judge-rules.js";
import type { KeySets } from "./key-sets.js";
import { parseIdToken } from "./parse-id-token.js";
import { rulesOfFactory } from "./store.js";
import { checkIdToken, type IdTokenCheck, keySourceOf, type VerifyDeps } from "./verify-id-token.js";
import type { IgnoredKey } from "./web-keys.js";

export type ExplainDeps = {
  prisma: PrismaClient;
  /** By which tokens are verified, as for those who are let in. */
  verification: VerifyDeps & { keySets: Pick<KeySets, "ignoredOf"> };
};

/** A token, or what one could say. */
export type Asked = { idToken: string } | { claims: Claims };

/**
 * Says of each rule of the factory whether it lets in the bearer of a token, and what of it does not hold. Uses up no
 * token, and says nothing of whether one was used before.
 * @throws Problem `invalid-request` for what is no token at all
 */
export async function explain(deps: ExplainDeps, factory: FactoryRef, asked: Asked): Promise<Explanation> {
  const token = "idToken" in asked ? asked.idToken : undefined;
  const claims = "claims" in asked ? asked.claims : claimsOf(asked.idToken);
  const lookedAt = askedClaims(claims);
  const presented = token === undefined ? undefined : { token, parsed: parseIdToken(token) };
  const { rules = [] } = (await rulesOfFactory(deps.prisma, factory.id)) ?? {};
  const algorithm = typeof presented?.parsed === "object" ? presented.parsed.algorithm : undefined;
  const explained = await Promise.all(
    rules.map(async (rule) => {
      const verdict = judgeRule(rule, { claims, ...(algorithm && { algorithm }) });
      const { verification } = deps;
      const check = presented && (await checkIdToken(verification, { factoryId: factory.id, verdict }, presented));
      const ignored = verification.keySets.ignoredOf({ factoryId: factory.id, source: keySourceOf(rule) });
      const token = check && explainCheck(check, { ignored, now: verification.now() });
      return { verdict, shown: explainRule(verdict, lookedAt, token) };
    }),
  );
  const believed = explained.filter(({ shown }) => shown.token?.holds ?? true).map(({ verdict }) => verdict);
  const decision = decide(believed, claims);
  const trusted = typeof decision === "string" ? undefined : decision;
  return {
    matches: trusted !== undefined,
    rules: explained.map(({ shown }) => shown).toSorted((a, b) => lacks(a) - lacks(b)),
    grants: [...(trusted?.grants ?? [])],
    ...(trusted?.maxTtlSeconds !== undefined && { maxTtlSeconds: trusted.maxTtlSeconds }),
    ...(trusted?.deliverSecrets && { deliverSecrets: true }),
  };
}

function claimsOf(idToken: string): Claims {
  const parsed = parseStrictJwt(idToken, maxIdTokenLength);
  if (parsed) return parsed.payload;
  const reason =
    "not a signed JWT in its strict form: three parts of base64url without padding, no member twice, no crit, jku, jwk, x5u or x5c";
  throw new Problem("invalid-request", `/idToken: ${reason}`, { invalid: [{ at: "/idToken", reason }] });
}

function explainRule(verdict: RuleVerdict, claims: AskedClaims, token: ExplainedRule["token"]): ExplainedRule {
  const { id, name } = verdict.rule;
  return {
    id,
    name,
    matches: (token?.holds ?? true) && matches(verdict) && verdict.tokenId,
    ...(token && { token }),
    conditions: explainConditions(verdict, claims),
  };
}

/** How far a rule is from matching: that nearest to it is what somebody wants to read first. */
function lacks({ conditions, token }: ExplainedRule): number {
  return conditions.filter(({ holds }) => !holds).length + (token?.holds === false ? 1 : 0);
}

function explainCheck(
  check: IdTokenCheck,
  { ignored, now }: { ignored: readonly IgnoredKey[]; now: Date },
): NonNullable<ExplainedRule["token"]> {
  const odd = ignored.length > 0 && { ignoredKeys: [...ignored] };
  if (check.holds) return { holds: true, message: "Signature, issuer, audience and times hold.", ...odd };
  const { failed, claims } = check;
  const about = aboutTimes.has(failed) ? ` ${timesOf(claims ?? {}, now)}` : "";
  const keys = failed === "key-unknown" ? ignored.map(({ at, reason }) => ` ${at} ${reason}.`).join("") : "";
  const more = keys && ` Keys of the set that were left out:${keys}`;
  return { holds: false, failed, message: `${sentences[failed]}${about}${more}`, ...odd };
}

const aboutTimes: ReadonlySet<IdTokenFailure> = new Set<IdTokenFailure>(["expired", "not-yet-valid", "too-long-lived"]);

/** The times of a token beside the time here: either clock can be the wrong one. */
function timesOf(claims: Claims, now: Date): string {
  const times = ["iat", "nbf", "exp"].flatMap((name) => {
    const date = new Date(Number(claims[name]) * 1_000);
    return Number.isNaN(date.getTime()) ? [] : [`${name} is ${date.toISOString()}`];
  });
  return `The token's ${times.join(", ")}; the time here is ${now.toISOString()}.`;
}

const sentences: Readonly<Record<IdTokenFailure, string>> = {
  malformed:
    "A registered claim is missing or of another type than RFC 7519 gives it: iss, sub, aud, exp, nbf, iat, jti.",
  type: "Its typ is not JWT: it is another kind of token than an ID token.",
  algorithm: "It is signed by an algorithm that the rule does not take.",
  issuer: "It is of another issuer than the rule's.",
  audience: "It is for another audience, or for more than one.",
  expired: "It has expired, by the clock of this service.",
  "not-yet-valid":
    "It is not valid yet: nbf or iat lies more than a minute ahead. Compare the issuer's clock with this service's.",
  "too-long-lived": "It is valid for more than 24 hours.",
  "issuer-unreachable": "The issuer's keys cannot be had, and the last ones are too old to go by.",
  "key-unknown": "No key of the issuer has its kid, or more than one fits it.",
  signature: "The signature is not by the issuer's key.",
};
