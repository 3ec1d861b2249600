import { Problem } from "../../core/problem.js";
import { comparisonOf } from "./conditions.js";
import type { TrustCondition } from "./contract.js";
import { lintAudience, lintIssuer, lintKeys } from "./lint-source.js";
import { saysSomething } from "./match-glob.js";
import {
  claimName,
  comparisonsOf,
  type Finding,
  type JudgedRule,
  pins,
  type RuleTemplate,
  warning,
} from "./templates/template.js";
import { changingNames, claimsOfRuns, judgeOf } from "./templates/templates.js";

/** What is in every token of everybody, or different in each: it says nothing about who is asking. RFC 7519 (4.1) */
const registeredClaims: ReadonlySet<string> = new Set(["iss", "aud", "exp", "nbf", "iat", "jti"]);

/** Grades a rule. Those with an error among the findings are not taken. */
export function lintRule(rule: JudgedRule): Finding[] {
  const template = judgeOf(rule);
  return [
    ...lintIdentity(rule, template),
    ...rule.conditions.flatMap((condition, index) => lintCondition(condition, `/conditions/${index}`, template)),
    ...lintIssuer(rule, template),
    ...lintAudience(rule),
    ...lintKeys(rule),
    ...template.lint(rule),
  ];
}

/** @throws Problem `unsafe-rule` for a rule that would let strangers in */
export function refuseUnsafe(findings: readonly Finding[]): void {
  const errors = findings.filter(({ severity }) => severity === "error");
  if (errors.length === 0) return;
  const detail = errors.map(({ message }) => message).join(" ");
  throw new Problem("unsafe-rule", detail, {
    invalid: errors.map(({ at, message }) => ({ at, reason: firstSentence(message) })),
  });
}

/** What is wrong, without what to do: that stands in the detail beside it. */
const firstSentence = (message: string): string => /^.*?\.(?= )/.exec(message)?.[0] ?? message;

function lintIdentity(rule: JudgedRule, template: RuleTemplate): Finding[] {
  if (isBound(rule, template)) return [];
  const message = `This rule does not say whose tokens it takes. ${template.advice}`;
  return [{ code: "identity-missing", severity: "error", at: "/conditions", message }];
}

function isBound(rule: JudgedRule, template: RuleTemplate): boolean {
  const isPinned = (claim: string) => pins(rule, claim) && !isNamed(rule, claim, template);
  if (template.identities.some((claims) => claims.every(isPinned))) return true;
  if (template.name !== "generic") return false;
  // Of an issuer that nobody here knows, any claim can be the one that tells people apart, but for what never is.
  const claims = rule.conditions.map(({ claim }) => claimName(claim));
  const neverTell = [registeredClaims, changingNames, claimsOfRuns];
  return claims.some((claim) => !neverTell.some((names) => names.has(claim)) && isPinned(claim));
}

/** Whether one of the values that the claim may have is a name after all. */
function isNamed(rule: JudgedRule, claim: string, { isName }: RuleTemplate): boolean {
  if (!isName) return false;
  const values = comparisonsOf(rule, claim).flatMap((asked) => (asked.kind === "any-of" ? asked.values : []));
  return values.some((value) => isName(claim, String(value)));
}

function lintCondition(condition: TrustCondition, at: string, template: RuleTemplate): Finding[] {
  const findings = [...lintComparison(condition, at)];
  const name = claimName(condition.claim);
  if (registeredClaims.has(name)) {
    const message = `The claim ${name} says nothing about who is asking; issuer, audience and times are checked anyway.`;
    findings.push(warning("not-an-identity", message, at));
  }
  const known = template.claims.find(({ claim }) => claim === name);
  const asked = comparisonOf(condition);
  const types = asked.kind === "glob" ? ["string"] : asked.values.map((value) => typeof value);
  if (known && types.some((type) => type !== typeNames[known.type])) {
    const message = `${template.title} sends ${known.claim} as a ${known.type}, so this never holds: use ${comparisonFor[known.type]}.`;
    findings.push(warning("never-holds", message, at));
  }
  return findings;
}

const typeNames = { text: "string", number: "number", boolean: "boolean" } as const;
const comparisonFor = { text: "equals", number: "equalsNumber", boolean: "equalsBoolean" } as const;

function lintComparison(condition: TrustCondition, at: string): Finding[] {
  const asked = comparisonOf(condition);
  if (asked.kind === "any-of") {
    if (asked.values.some((value) => typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER)) {
      const message =
        "Numbers beyond 9007199254740991 are not exact: two ids can be read as one. Bind another claim, or have the issuer send this one as a text.";
      return [{ code: "number-not-exact", severity: "error", at, message }];
    }
    if (!asked.values.some((value) => String(value).includes("*"))) return [];
    return [warning("looks-like-a-pattern", "A star has no meaning here, it is a star: use glob.", at)];
  }
  if (!saysSomething(asked.glob)) {
    const message = "This glob fits almost everything: name what it must begin or end with, or use equals.";
    return [{ code: "glob-of-nothing", severity: "error", at: `${at}/glob`, message }];
  }
  if (!/[|?[\]{}()^$\\+]/.test(asked.glob)) return [];
  const message = "In a glob only * has a meaning of its own: there is no alternation, and no regular expression.";
  return [warning("looks-like-a-pattern", message, `${at}/glob`)];
}
