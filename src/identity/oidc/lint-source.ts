import { awsPartitions } from "../../core/aws-partitions.js";
import { azureCloudNames, azureClouds } from "../../core/azure-clouds.js";
import { type Finding, hostOf, type JudgedRule, type RuleTemplate, warning } from "./templates/template.js";
import { readWebKeys } from "./web-keys.js";

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
  const message = `This audience is ${whose}: whoever is shown such a token can bring it here. Use a name of this installation's own, such as its URL, and let jobs ask for that.`;
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
