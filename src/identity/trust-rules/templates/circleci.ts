import { binds, type Finding, hostOf, type JudgedRule, type RuleTemplate, warning } from "./template.js";

const project = "oidc.circleci.com/project-id";
const definition = "oidc.circleci.com/pipeline-definition-id";
const origin = "oidc.circleci.com/vcs-origin";
const ref = "oidc.circleci.com/vcs-ref";
const sshRerun = "oidc.circleci.com/ssh-rerun";

/** https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/ */
export const circleci: RuleTemplate = {
  name: "circleci",
  title: "CircleCI",
  issuer: "https://oidc.circleci.com/org/ORGANIZATION-UUID",
  audience:
    "circleci run oidc get --claims '{\"aud\": \"<this installation's URL>\"}'. $CIRCLE_OIDC_TOKEN_V2 is for the organization's UUID, and is everybody's to use.",
  claims: [
    { claim: project, type: "text", use: "identity", about: "The project." },
    { claim: definition, type: "text", use: "narrowing", about: "Which of the project's pipelines." },
    { claim: origin, type: "text", use: "narrowing", about: "Where the code came from: a fork has one of its own." },
    { claim: ref, type: "text", use: "narrowing", about: "refs/heads/..., refs/tags/..." },
    { claim: sshRerun, type: "boolean", use: "narrowing", about: "Whether somebody has a shell in the job." },
    { claim: "sub", type: "text", use: "narrowing", about: "org/UUID/project/UUID/user/UUID and more" },
  ],
  identities: [[project]],
  advice:
    'Add {"claim": "oidc.circleci.com/project-id", "equals": "<uuid>"} (Project Settings, Overview): the issuer says only which organization it is.',
  example: {
    issuer: "https://oidc.circleci.com/org/00000000-0000-4000-8000-000000000001",
    conditions: [
      { claim: project, equals: "00000000-0000-4000-8000-000000000002" },
      { claim: origin, equals: "github.com/example/app" },
      { claim: ref, equals: "refs/heads/main" },
      { claim: sshRerun, equalsBoolean: false },
    ],
  },
  knows: (issuer) => hostOf(issuer) === "oidc.circleci.com",
  lint,
};

function lint(rule: JudgedRule): Finding[] {
  const findings: Finding[] = [];
  if (!binds(rule, origin)) {
    findings.push(
      warning(
        "forks",
        `Builds of forks are let in where the project builds them. Add {"claim": "${origin}", "equals": "github.com/OWNER/NAME"}.`,
      ),
    );
  }
  if (!binds(rule, ref)) {
    findings.push(
      warning(
        "any-branch",
        `Any branch is accepted, so anyone who can push one gets tokens. Add {"claim": "${ref}", "equals": "refs/heads/main"}.`,
      ),
    );
  }
  if (!binds(rule, sshRerun)) {
    findings.push(
      warning(
        "ssh-rerun",
        `Anyone who may rerun a job with SSH has a shell beside its token. Add {"claim": "${sshRerun}", "equalsBoolean": false}.`,
      ),
    );
  }
  return findings;
}
