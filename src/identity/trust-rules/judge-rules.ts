import type { Evidence } from "../../core/caller.js";
import type { Grant } from "../../core/grant.js";
import { type Claims, claimAt, holds } from "./conditions.js";
import type { SignatureAlgorithm, TrustCondition, TrustRule } from "./contract.js";
import { evidenceClaims } from "./templates/evidence-claims.js";

/** What the bearer of a token gets from the rules that match it. */
export type Trusted = {
  /** At least one. */
  rules: readonly TrustRule[];
  /** The grants of all of them, one after the other: a union whose lines were each written in one rule. */
  grants: readonly Grant[];
  /** The shortest that a matching rule says, so that no line lives longer than its own rule allows. */
  maxTtlSeconds?: number;
  /** One of them says so. */
  deliverSecrets?: true;
  /** Whether one of them takes a token only once. */
  singleUse: boolean;
  evidence: Evidence;
};

/** What rules look at of an ID token. No `algorithm`: claims that a person asks about, and no token. */
export type Presented = { claims: Claims; algorithm?: SignatureAlgorithm };

/** What a rule says of a token: everything that it asks, and whether that holds. */
export type RuleVerdict = {
  rule: TrustRule;
  issuer: boolean;
  audience: boolean;
  algorithm: boolean;
  conditions: readonly { condition: TrustCondition; holds: boolean }[];
  /** The token has a `jti`, or the rule needs none. */
  tokenId: boolean;
};

/** Holds one rule against a token. Says nothing about its signature and its times. */
export function judgeRule(rule: TrustRule, { claims, algorithm }: Presented): RuleVerdict {
  const { jti } = claims;
  return {
    rule,
    issuer: claims.iss === rule.issuer,
    audience: isFor(rule.audience, claims),
    algorithm: algorithm === undefined || rule.algorithms.includes(algorithm),
    conditions: rule.conditions.map((condition) => ({ condition, holds: holds(condition, claims) })),
    tokenId: !rule.singleUse || (typeof jti === "string" && jti !== ""),
  };
}

/** The verdicts of the rules that name the token's issuer and audience. The conditions of others cost no work. */
export function judgeRules(rules: readonly TrustRule[], presented: Presented): RuleVerdict[] {
  const { claims } = presented;
  return rules
    .filter(({ issuer, audience }) => claims.iss === issuer && isFor(audience, claims))
    .map((rule) => judgeRule(rule, presented));
}

/**
 * Whether everything but a missing `jti` holds. A rule without a condition cannot be written: it would match every token
 * of its issuer.
 */
export function matches({ issuer, audience, algorithm, conditions }: RuleVerdict): boolean {
  return issuer && audience && algorithm && conditions.length > 0 && conditions.every(({ holds }) => holds);
}

/**
 * What the rules decide together.
 * @returns `no-match` when none matches; `no-token-id` when one that matches takes a token once, and this one has no `jti`
 */
export function decide(verdicts: readonly RuleVerdict[], claims: Claims): Trusted | "no-match" | "no-token-id" {
  const matching = verdicts.filter(matches);
  if (matching.length === 0) return "no-match";
  if (matching.some(({ tokenId }) => !tokenId)) return "no-token-id";
  const rules = matching.map(({ rule }) => rule);
  const limits = rules.flatMap(({ maxTtlSeconds }) => maxTtlSeconds ?? []);
  return {
    rules,
    grants: rules.flatMap(({ grants }) => grants),
    ...(limits.length > 0 && { maxTtlSeconds: Math.min(...limits) }),
    ...(rules.some(({ deliverSecrets }) => deliverSecrets) && { deliverSecrets: true as const }),
    singleUse: rules.some(({ singleUse }) => singleUse),
    evidence: evidenceOf(rules, claims),
  };
}

/** Whether `aud` is this one string, or a list of it alone: a token for others as well could come from them. */
function isFor(audience: string, claims: Claims): boolean {
  const { aud } = claims;
  return Array.isArray(aud) ? aud.length === 1 && aud[0] === audience : aud === audience;
}

const maxValueLength = 200;
const controls = /[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** A text of a stranger's as the audit and the log can keep it: of 200 characters at most, and none as `hasNoControls` refuses. */
export function boundedText(text: string): string {
  return text.slice(0, maxValueLength).replace(controls, "\ufffd");
}

function evidenceOf(matching: readonly TrustRule[], claims: Claims): Evidence {
  const named = matching.flatMap(({ conditions }) => conditions.map(({ claim }) => claim));
  const usual = matching.flatMap(({ template }) => evidenceClaims[template]);
  const values = [...new Set(["sub", ...named, ...usual])].flatMap((name) => {
    const value = claimAt(claims, name);
    const isScalar = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    return isScalar ? [{ name, value: boundedText(String(value)) }] : [];
  });
  return {
    issuer: String(claims.iss),
    rules: matching.map(({ id, name }) => ({ id, name })),
    claims: values,
  };
}
