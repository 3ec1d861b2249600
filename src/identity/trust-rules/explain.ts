import { z } from "zod";
import type { FactoryRef } from "../../core/caller.js";
import { GrantView } from "../../core/grant.js";
import { nearestName } from "../../core/nearest-name.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { parseStrictJwt } from "../strict-jwt.js";
import { type Claims, claimAt, comparisonOf, holds } from "./conditions.js";
import { maxIdTokenLength, type TrustCondition, type TrustRule } from "./contract.js";
import { boundedText, decide, judgeRule, matches, type RuleVerdict } from "./judge-rules.js";
import type { KeySets } from "./key-sets.js";

import { rulesOfFactory } from "./store.js";
import { claimName, type RuleTemplate } from "./templates/template.js";
import { judgeOf } from "./templates/templates.js";
import {
  checkIdToken,
  type IdTokenCheck,
  type IdTokenFailure,
  keySourceOf,
  parseIdToken,
  type VerifyDeps,
} from "./verify-id-token.js";
import type { IgnoredKey as IgnoredWebKey } from "./web-keys.js";

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

const TokenClaims = z
  .unknown()
  .refine(isObject, "must be an object: the payload of a token")
  .meta({ id: "TokenClaims", description: "The payload of a token: an object with a member for each claim." });

export const ExplainRequest = z
  .strictObject({
    idToken: z
      .string()
      .min(1)
      .max(maxIdTokenLength)
      .optional()
      .meta({ description: "The token that was refused. It is not used up, not kept and not shown." }),
    claims: TokenClaims.optional(),
  })
  .refine(
    ({ idToken, claims }) => (idToken === undefined) !== (claims === undefined),
    "must have either idToken or claims",
  )
  .meta({ id: "ExplainRequest" });

const TokenFailure = z
  .enum([
    "malformed",
    "type",
    "algorithm",
    "issuer",
    "audience",
    "expired",
    "not-yet-valid",
    "too-long-lived",
    "issuer-unreachable",
    "key-unknown",
    "signature",
  ])
  .meta({ id: "IdTokenFailure", description: "What is wrong with an ID token, for one rule." });

const IgnoredKey = z
  .object({
    at: z.string().meta({ description: "JSON pointer into the key set.", example: "/keys/0" }),
    kid: z.string().optional(),
    reason: z.string(),
  })
  .meta({ id: "IgnoredKey" });

const ExplainedToken = z
  .object({
    holds: z.boolean(),
    failed: TokenFailure.optional(),
    message: z.string(),
    ignoredKeys: z.array(IgnoredKey).optional().meta({
      description: "Keys of the issuer's set that are not understood, and are left out (RFC 7517, section 5).",
    }),
  })
  .meta({
    id: "ExplainedToken",
    description:
      "Whether the token itself is to be believed, by what the rule says. Absent when only claims were given.",
  });

export const ExplainedCondition = z
  .object({
    claim: z.string(),
    expected: z.string(),
    found: z
      .string()
      .optional()
      .meta({ description: "As JSON, the first 200 characters. Absent when the token has no such claim." }),
    holds: z.boolean(),
    hint: z.string().optional().meta({ description: "What is nearly right." }),
  })
  .meta({ id: "ExplainedCondition" });

export const ExplainedRule = z
  .object({
    id: z.string(),
    name: z.string(),
    matches: z.boolean(),
    token: ExplainedToken.optional(),
    conditions: z.array(ExplainedCondition).meta({ description: "First issuer and audience, then the rule's own." }),
  })
  .meta({ id: "ExplainedRule" });

export const Explanation = z
  .object({
    matches: z.boolean().meta({ description: "Whether any rule lets the bearer in." }),
    rules: z.array(ExplainedRule).meta({ description: "Those that match, then those that nearly do." }),
    grants: z.array(GrantView).meta({ description: "What the bearer would get: of all rules that match." }),
    maxTtlSeconds: z.int().optional(),
    deliverSecrets: z.boolean().optional(),
  })
  .meta({ id: "TrustExplanation" });

export type ExplainedCondition = z.output<typeof ExplainedCondition>;
export type ExplainedRule = z.output<typeof ExplainedRule>;
export type Explanation = z.output<typeof Explanation>;

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
  { ignored, now }: { ignored: readonly IgnoredWebKey[]; now: Date },
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

const noSuchClaim = "The token has no such claim.";

/** Claims that a person asks about. What costs work is done once for all rules, and not without end. */
export type AskedClaims = {
  claims: Claims;
  /** A claim as JSON, shortened; `undefined` when there is none. */
  textOf(name: string): string | undefined;
  /** The claim that a name is a misspelling of. */
  nearestTo(name: string): string | undefined;
};

/** As many as an ID token can have. */
const maxCompared = 200;
/** A factory's rules can name thousands of claims, and each that is missing is compared with all that are there. */
const maxMisspelt = 100;

export function askedClaims(claims: Claims): AskedClaims {
  const present = Object.keys(claims).slice(0, maxCompared);
  const texts = new Map<string, string | undefined>();
  const misspelt = new Map<string, string | undefined>();
  return {
    claims,
    textOf(name) {
      if (!texts.has(name)) texts.set(name, textOf(claimAt(claims, name)));
      return texts.get(name);
    },
    nearestTo(name) {
      if (!misspelt.has(name) && misspelt.size < maxMisspelt) misspelt.set(name, nearestName(name, present));
      return misspelt.get(name);
    },
  };
}

function textOf(found: unknown): string | undefined {
  return found === undefined ? undefined : boundedText(JSON.stringify(found));
}

/** All that a rule asks of claims, one after the other: issuer, audience, its conditions, and `jti` for a single use. */
export function explainConditions(verdict: RuleVerdict, asked: AskedClaims): ExplainedCondition[] {
  const { rule } = verdict;
  const issuer = judgeOf(rule);
  return [
    explained(shown("iss", JSON.stringify(rule.issuer), asked, verdict.issuer), hintForIssuer(rule, asked)),
    explained(
      shown("aud", `${JSON.stringify(rule.audience)} alone`, asked, verdict.audience),
      hintForAudience(rule, asked),
    ),
    ...verdict.conditions.map(({ condition, holds }) =>
      explained(
        shown(condition.claim, expectation(condition), asked, holds),
        holds ? undefined : hintFor(condition, asked, issuer),
      ),
    ),
    ...(rule.singleUse ? [explainTokenId(asked, verdict.tokenId)] : []),
  ];
}

function explained(condition: ExplainedCondition, hint: string | undefined): ExplainedCondition {
  return { ...condition, ...(hint !== undefined && { hint }) };
}

function hintForIssuer({ issuer }: TrustRule, { claims }: AskedClaims): string | undefined {
  const found = claims.iss;
  if (found === undefined) return noSuchClaim;
  const differsBySlash = found === `${issuer}/` || `${String(found)}/` === issuer;
  return differsBySlash ? "Differs by the slash at its end alone, and that counts." : undefined;
}

function hintForAudience({ audience }: TrustRule, { claims }: AskedClaims): string | undefined {
  const found = claims.aud;
  if (found === undefined) return noSuchClaim;
  const isOneOfMany = Array.isArray(found) && found.includes(audience) && found.length > 1;
  return isOneOfMany ? "It is for others too, who could have brought it here: ask for this audience alone." : undefined;
}

function explainTokenId(asked: AskedClaims, holds: boolean): ExplainedCondition {
  const isAbsent = asked.claims.jti === undefined;
  return explained(
    shown("jti", "any text: the rule takes a token once", asked, holds),
    isAbsent ? `${noSuchClaim} Without it a rule with singleUse takes none.` : undefined,
  );
}

function shown(claim: string, expected: string, asked: AskedClaims, isHeld: boolean): ExplainedCondition {
  const found = asked.textOf(claim);
  return { claim, expected: boundedText(expected), ...(found !== undefined && { found }), holds: isHeld };
}

function expectation(condition: TrustCondition): string {
  const asked = comparisonOf(condition);
  if (asked.kind === "glob") return `a text like ${JSON.stringify(asked.glob)}`;
  return asked.values.map((value) => JSON.stringify(value)).join(" or ");
}

/** What a person looks for when a build is red: a name mistyped, a type mistaken, a star that stops at a slash. */
function hintFor(
  condition: TrustCondition,
  { claims, nearestTo }: AskedClaims,
  issuer: RuleTemplate,
): string | undefined {
  const found = claimAt(claims, condition.claim);
  if (found === undefined) {
    const meant = nearestTo(condition.claim);
    return meant === undefined ? noSuchClaim : `${noSuchClaim} It has ${meant}.`;
  }
  if (typeof found === "object") return "Only a text, a number or a boolean can be compared.";
  const asked = comparisonOf(condition);
  if (asked.kind === "glob" && typeof found === "string") return hintForGlob(condition, asked.glob, claims);
  if (asked.kind === "glob") return hintForType(condition, found, issuer);
  if (asked.values.some((value) => typeof value !== typeof found && String(value) === String(found))) {
    return hintForType(condition, found, issuer);
  }
  const lower = String(found).toLowerCase();
  const differsByCase = asked.values.some((value) => String(value).toLowerCase() === lower);
  return differsByCase ? "Differs by upper and lower case alone, and that counts." : undefined;
}

/** Claims that were typed by hand can be of another type than the issuer's own: then the rule is right. */
function hintForType(condition: TrustCondition, found: unknown, { title, claims }: RuleTemplate): string {
  const sent = claims.find(({ claim }) => claim === claimName(condition.claim))?.type;
  return sent !== undefined && sent !== kindOf(found)
    ? `Here it is a ${kindOf(found)}; ${title} is known to send it as a ${sent}.`
    : `The token has it as a ${kindOf(found)}: write ${comparisonFor(found)}.`;
}

function hintForGlob(condition: TrustCondition, glob: string, claims: Claims): string | undefined {
  const wider = { ...condition, glob: glob.replaceAll(/\*+/g, "**") };
  return holds(wider, claims) ? "A star stops at a slash; two stars do not." : undefined;
}

function kindOf(found: unknown): string {
  return typeof found === "string" ? "text" : typeof found;
}

function comparisonFor(found: unknown): string {
  if (typeof found === "number") return "equalsNumber";
  return typeof found === "boolean" ? "equalsBoolean" : "equals";
}
