import { type Comparison, comparisonOf } from "../conditions.js";
import type { TemplateName, TrustCondition, TrustRule, TrustRuleFinding } from "../contract.js";

/** What the linter looks at. */
export type JudgedRule = Pick<TrustRule, "template" | "issuer" | "audience" | "conditions" | "jwks" | "jwksUrl">;

export type FindingCode =
  | "identity-missing"
  | "key-ignored"
  | "glob-of-nothing"
  | "number-not-exact"
  | "not-an-identity"
  | "looks-like-a-pattern"
  | "never-holds"
  | "shared-audience"
  | "other-template"
  | "issuer-spelling"
  | "whole-organization"
  | "any-branch"
  | "any-event"
  | "pull-requests"
  | "workflow-at-any-ref"
  | "name-in-subject"
  | "name-can-change-hands"
  | "self-hosted-runner"
  | "branch-or-tag"
  | "forks"
  | "ssh-rerun"
  | "recreated"
  | "keys-out-of-reach"
  | "no-subject";

export type Finding = TrustRuleFinding & { code: FindingCode };

/** What is known of one claim of an issuer. */
export type KnownClaim = {
  claim: string;
  type: "text" | "number" | "boolean";
  /** `identity`: never given to anybody else. `narrowing`: says which of its runs. `name`: can change hands. */
  use: "identity" | "narrowing" | "name";
  about: string;
};

/** An issuer, or a kind of issuers: what its tokens say, and what a rule for them must bind. */
export type RuleTemplate = {
  name: TemplateName;
  title: string;
  /** The exact `iss`, or how it is made up. */
  issuer: string;
  /** How a job asks for a token for us, and what it gets when it does not ask. */
  audience: string;
  claims: readonly KnownClaim[];
  /** A rule must pin all claims of one of these lists. */
  identities: readonly (readonly string[])[];
  /** What to add to a rule that pins none of them. */
  advice: string;
  /** A safe rule to begin with. */
  example: { issuer: string; conditions: readonly TrustCondition[] };
  /** Whether tokens of this issuer are of this kind, whatever a rule calls them. */
  knows(issuer: string): boolean;
  /** Whether the value of a claim that pins is one that can change hands all the same. */
  isName?(claim: string, value: string): boolean;
  lint(rule: JudgedRule): readonly Finding[];
};

/** A claim's name in one spelling: `/sub` leads where `sub` does. */
export function claimName(name: string): string {
  return /^\/[^/]*$/.test(name) ? name.slice(1).replaceAll("~1", "/").replaceAll("~0", "~") : name;
}

/** What the rule asks of a claim; a claim can be named more than once. */
export function comparisonsOf(rule: Pick<JudgedRule, "conditions">, claim: string): Comparison[] {
  return rule.conditions.filter((condition) => claimName(condition.claim) === claim).map(comparisonOf);
}

/** Whether the rule says anything of one of these claims. */
export function binds(rule: Pick<JudgedRule, "conditions">, ...claims: readonly string[]): boolean {
  return claims.some((claim) => comparisonsOf(rule, claim).length > 0);
}

/** Whether the rule asks for one of a list of texts or numbers. A glob fits what did not exist when it was written. */
export function pins(rule: Pick<JudgedRule, "conditions">, claim: string): boolean {
  return comparisonsOf(rule, claim).some(
    (comparison) =>
      comparison.kind === "any-of" &&
      comparison.values.length > 0 &&
      comparison.values.every((value) => typeof value !== "boolean"),
  );
}

export function warning(code: FindingCode, message: string, at = "/conditions"): Finding {
  return { code, severity: "warning", at, message };
}

/** The host of an issuer; empty for what is no URL. */
export function hostOf(issuer: string): string {
  return URL.canParse(issuer) ? new URL(issuer).hostname : "";
}
