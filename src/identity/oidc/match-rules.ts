import type { Evidence } from "../../core/caller.js";
import type { Grant } from "../../core/grant.js";
import { type Claims, claimAt, holds } from "./conditions.js";
import type { TrustRule } from "./contract.js";
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

/** The rules that a verified token meets: issuer, audience and every condition. */
export function matchRules(rules: readonly TrustRule[], claims: Claims): TrustRule[] {
  return rules.filter((rule) => matches(rule, claims));
}

/** @returns `undefined` when no rule matches */
export function trustedBy(rules: readonly TrustRule[], claims: Claims): Trusted | undefined {
  const matching = matchRules(rules, claims);
  if (matching.length === 0) return undefined;
  const limits = matching.flatMap(({ maxTtlSeconds }) => maxTtlSeconds ?? []);
  return {
    rules: matching,
    grants: matching.flatMap(({ grants }) => grants),
    ...(limits.length > 0 && { maxTtlSeconds: Math.min(...limits) }),
    ...(matching.some(({ deliverSecrets }) => deliverSecrets) && { deliverSecrets: true as const }),
    singleUse: matching.some(({ singleUse }) => singleUse),
    evidence: evidenceOf(matching, claims),
  };
}

// A rule without a condition cannot be written. Were there one, it would let in everybody whom its issuer knows.
function matches(rule: TrustRule, claims: Claims): boolean {
  return (
    claims.iss === rule.issuer &&
    isFor(rule.audience, claims) &&
    rule.conditions.length > 0 &&
    rule.conditions.every((condition) => holds(condition, claims))
  );
}

/** Whether `aud` is this one string, or a list of it alone: a token for others as well could come from them. */
export function isFor(audience: string, claims: Claims): boolean {
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
