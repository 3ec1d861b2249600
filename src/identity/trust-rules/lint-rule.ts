import { awsPartitions } from "../../core/aws-partitions.js";
import { azureCloudNames, azureClouds } from "../../core/azure-clouds.js";
import { Problem } from "../../core/problem.js";
import { comparisonOf, saysSomething } from "./conditions.js";
import type { TrustCondition } from "./contract.js";
import {
  claimName,
  comparisonsOf,
  type Finding,
  hostOf,
  type JudgedRule,
  pins,
  type RuleTemplate,
  warning,
} from "./templates/template.js";
import { changingNames, claimsOfRuns, judgeOf } from "./templates/templates.js";
import { readWebKeys } from "./web-keys.js";

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

// What jobs ask tokens for anyway: each is shown to somebody else, who could bring it here.
const audiencesOfOthers: readonly { pattern: RegExp; whose: string }[] = [
  { pattern: /^https:\/\/github\.com(\/|$)/, whose: "GitHub's default" },
  { pattern: /^https:\/\/gitlab\.com\/?$/, whose: "GitLab's own" },
  { pattern: /^https:\/\/buildkite\.com(\/|$)/, whose: "Buildkite's default" },
  { pattern: /^https:\/\/kubernetes\.default\.svc(\.|\/|$)/, whose: "the Kubernetes API's own" },
  { pattern: /^sts\.(amazonaws|googleapis)\.com/, whose: "a cloud's" },
  { pattern: oneOf(awsPartitions.map(({ dnsSuffix }) => `sts.${dnsSuffix}`)), whose: "a cloud's" },
  { pattern: /^https:\/\/iam\.googleapis\.com\//, whose: "a cloud's" },
  { pattern: /^\/\/iam\.googleapis\.com\//, whose: "a cloud's" },
  { pattern: oneOf(azureCloudNames.map((name) => azureClouds[name].federationAudience)), whose: "a cloud's" },
  { pattern: /^(sigstore|vault|pypi|npm:.*|rubygems\.org)$/i, whose: "another service's" },
];

function oneOf(texts: readonly string[]): RegExp {
  return new RegExp(`^(?:${texts.map((text) => text.replaceAll(".", "\\.")).join("|")})$`, "i");
}

/** Whether tokens for this audience are shown to others as a matter of course. */
export function lintAudience(rule: JudgedRule): Finding[] {
  const others = audiencesOfOthers.find(({ pattern }) => pattern.test(rule.audience));
  const isOrganization = hostOf(rule.issuer) === "oidc.circleci.com" && rule.issuer.endsWith(`/${rule.audience}`);
  const whose = others?.whose ?? (isOrganization ? "CircleCI's default" : undefined);
  if (whose === undefined) return [];
  const message = `This audience is ${whose}: anyone who receives such a token can use it here. Use a name of this installation's own, such as its URL, and let jobs ask for that.`;
  return [warning("shared-audience", message, "/audience")];
}

/** Which of the pasted keys are left out. Those that an issuer serves are looked at when a token is explained. */
export function lintKeys({ jwks }: JudgedRule): Finding[] {
  const ignored = (jwks === undefined ? undefined : readWebKeys(jwks)?.ignored) ?? [];
  return ignored.map(({ at, kid, reason }) => {
    const name = kid === undefined ? "The key" : `The key ${JSON.stringify(kid)}`;
    const message = `${name} at ${at} of the key set ${reason}: no token is verified with it. Paste it as the issuer publishes it, or leave it out.`;
    return warning("key-ignored", message, "/jwks");
  });
}

/** Whether the issuer is what the rule takes it for, and is spelled as its tokens spell it. */
export function lintIssuer(rule: JudgedRule, judge: RuleTemplate): Finding[] {
  const findings: Finding[] = [];
  if (judge.name !== rule.template) {
    const message = `This is an issuer of ${judge.title}, and the rule is judged as one for it: make it "template": "${judge.name}".`;
    findings.push(warning("other-template", message, "/template"));
  }
  if (judge.knows(rule.issuer) && rule.issuer.endsWith("/") && judge.name !== "kubernetes") {
    const message = `The issuer of ${judge.title} has no slash at its end, so this never matches.`;
    findings.push(warning("issuer-spelling", message, "/issuer"));
  }
  const isShared = judge.name === "buildkite" || judge.name === "circleci";
  if (isShared && !judge.knows(rule.issuer)) {
    const message = `The issuer of ${judge.title} is ${judge.issuer}.`;
    findings.push(warning("issuer-spelling", message, "/issuer"));
  }
  return findings;
}
