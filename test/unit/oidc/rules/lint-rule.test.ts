import { describe, expect, it } from "vitest";
import {
  type TemplateName,
  type TrustCondition,
  TrustRuleRequest,
} from "../../../../src/identity/trust-rules/contract.js";
import { lintRule, refuseUnsafe } from "../../../../src/identity/trust-rules/lint-rule.js";
import { judgeOf, templates } from "../../../../src/identity/trust-rules/templates/templates.js";
import { someRule } from "./some-rule.js";

const github = "https://token.actions.githubusercontent.com";
const all = Object.values(templates);

/** A rule of a template, for its usual issuer. */
function ruleFor(template: TemplateName, conditions: TrustCondition[], issuer = templates[template].example.issuer) {
  return someRule({ template, issuer, conditions });
}

const codesOf = (rule: Parameters<typeof lintRule>[0], severity: "error" | "warning") =>
  lintRule(rule).flatMap((finding) => (finding.severity === severity ? [finding.code] : []));

describe("a rule is refused", () => {
  it.each<[string, TemplateName, TrustCondition[], string?]>([
    ["GitHub: only the repository's name", "github-actions", [{ claim: "repository", equals: "acme/app" }]],
    ["GitHub: only the owner's name", "github-actions", [{ claim: "repository_owner", equals: "acme" }]],
    ["GitHub: only sub", "github-actions", [{ claim: "sub", equals: "repo:acme/app:ref:refs/heads/main" }]],
    ["GitHub: sub by a glob", "github-actions", [{ claim: "sub", glob: "repo:acme/*" }]],
    [
      "GitHub: only the workflow",
      "github-actions",
      [{ claim: "job_workflow_ref", equals: "acme/ci/x.yml@refs/heads/main" }],
    ],
    ["GitHub: only branch and event", "github-actions", [{ claim: "ref", equals: "refs/heads/main" }]],
    ["GitHub: the id by a glob", "github-actions", [{ claim: "repository_id", glob: "123*" }]],
    ["GitHub: an environment of anybody's", "github-actions", [{ claim: "environment", equals: "production" }]],
    ["GitHub: the actor", "github-actions", [{ claim: "actor_id", equals: "1" }]],
    ["GitHub under generic: sub", "generic", [{ claim: "sub", equals: "repo:acme/app:ref:refs/heads/main" }], github],
    ["GitHub under generic: any claim", "generic", [{ claim: "workflow", equals: "build" }], github],
    ["GitHub under GitLab's name", "gitlab", [{ claim: "project_id", equals: "1" }], github],
    ["GitHub, with a slash", "generic", [{ claim: "workflow", equals: "build" }], `${github}/`],
    [
      "GitHub with data residency",
      "generic",
      [{ claim: "workflow", equals: "b" }],
      "https://token.actions.acme.ghe.com",
    ],
    [
      "GitHub Enterprise Server",
      "generic",
      [{ claim: "repository", equals: "a/b" }],
      "https://ghe.example.com/_services/token",
    ],
    ["GitLab: the project's path", "gitlab", [{ claim: "project_path", equals: "acme/app" }]],
    ["GitLab: the group's path", "gitlab", [{ claim: "namespace_path", equals: "acme" }]],
    ["GitLab: sub", "gitlab", [{ claim: "sub", glob: "project_path:acme/*:ref_type:branch:ref:main" }]],
    ["GitLab: protected refs of anybody's", "gitlab", [{ claim: "ref_protected", equals: "true" }]],
    ["GitLab: a user in any project", "gitlab", [{ claim: "user_id", equals: "1" }]],
    ["GitLab under generic", "generic", [{ claim: "sub", equals: "somebody" }], "https://gitlab.com"],
    ["Buildkite: the organization's name", "buildkite", [{ claim: "organization_slug", equals: "acme" }]],
    ["Buildkite: sub", "buildkite", [{ claim: "sub", glob: "organization:acme:pipeline:app:**" }]],
    ["Buildkite: the pipeline alone", "buildkite", [{ claim: "pipeline_slug", equals: "app" }]],
    [
      "CircleCI: the branch of any project",
      "circleci",
      [{ claim: "oidc.circleci.com/vcs-ref", equals: "refs/heads/main" }],
    ],
    ["CircleCI: sub", "circleci", [{ claim: "sub", glob: "org/1/project/*/user/*" }]],
    ["Kubernetes: the namespace alone", "kubernetes", [{ claim: "/kubernetes.io/namespace", equals: "ci" }]],
    ["Kubernetes: the name alone", "kubernetes", [{ claim: "/kubernetes.io/serviceaccount/name", equals: "builder" }]],
    ["Kubernetes: sub by a glob", "kubernetes", [{ claim: "sub", glob: "system:serviceaccount:ci:*" }]],
    ["Kubernetes: a sub that names no account", "kubernetes", [{ claim: "sub", equals: "system:serviceaccount:ci" }]],
    ["generic: sub by a glob", "generic", [{ claim: "sub", glob: "build-*" }]],
    ["generic: an address", "generic", [{ claim: "email", equals: "ci@example.com" }]],
    ["generic: a boolean", "generic", [{ claim: "email_verified", equalsBoolean: true }]],
    ["generic: issuer and audience again", "generic", [{ claim: "iss", equals: "https://issuer.example.com" }]],
    ["generic: audience by a pointer", "generic", [{ claim: "/aud", equals: "https://secrets.example.com" }]],
    ["generic: a GitHub-like name", "generic", [{ claim: "repository", equals: "acme/app" }]],
    ["generic: a branch of anybody's", "generic", [{ claim: "ref", equals: "refs/heads/main" }]],
    ["generic: protected branches of anybody's", "generic", [{ claim: "ref_protected", equals: "true" }]],
    [
      "generic: a workflow by its name",
      "generic",
      [{ claim: "job_workflow_ref", equals: "acme/ci/x.yml@refs/heads/main" }],
    ],
    ["generic: a checked address, as a text", "generic", [{ claim: "email_verified", equals: "true" }]],
    ["generic: a GitHub-like sub", "generic", [{ claim: "sub", equals: "repo:acme/app:ref:refs/heads/main" }]],
    [
      "generic: a sub as Vercel's",
      "generic",
      [{ claim: "sub", equals: "owner:acme:project:app:environment:production" }],
    ],
    ["generic: one of two subs is a name", "generic", [{ claim: "sub", equalsAny: ["7", "repo:acme/app:x"] }]],
  ])("%s", (_what, template, conditions, issuer) => {
    const rule = ruleFor(template, conditions, issuer);
    expect(codesOf(rule, "error")).toEqual(["identity-missing"]);
    expect(() => refuseUnsafe(lintRule(rule))).toThrow(judgeOf(rule).advice);
  });

  it.each([
    { claim: "account", equalsNumber: 2 ** 53 },
    { claim: "account", equalsAnyNumber: [7, -(2 ** 60)] },
  ])("with a number that stands for others too, %j", (condition) => {
    const rule = someRule({ conditions: [{ claim: "sub", equals: "7" }, condition] });
    expect(lintRule(rule)).toContainEqual(
      expect.objectContaining({ code: "number-not-exact", severity: "error", at: "/conditions/1" }),
    );
    expect(codesOf(someRule({ conditions: [{ claim: "account", equalsNumber: 2 ** 53 - 1 }] }), "error")).toEqual([]);
  });

  it.each(["*", "**", "*/*"])("with the glob %s, whatever else it binds", (glob) => {
    const rule = someRule({
      conditions: [
        { claim: "sub", equals: "7" },
        { claim: "other", glob },
      ],
    });
    expect(lintRule(rule)).toContainEqual(
      expect.objectContaining({ code: "glob-of-nothing", severity: "error", at: "/conditions/1/glob" }),
    );
  });
});

describe("a rule is taken", () => {
  it.each<[string, TemplateName, TrustCondition[]]>([
    ["GitHub: the repository's id", "github-actions", [{ claim: "repository_id", equals: "1" }]],
    ["GitHub: the owner's id", "github-actions", [{ claim: "repository_owner_id", equals: "1" }]],
    ["GitHub: several ids", "github-actions", [{ claim: "repository_id", equalsAny: ["1", "2"] }]],
    ["GitHub: the id by a pointer", "github-actions", [{ claim: "/repository_id", equals: "1" }]],
    ["GitLab: the group's id", "gitlab", [{ claim: "namespace_id", equals: "1" }]],
    ["Buildkite: the organization's id", "buildkite", [{ claim: "organization_id", equals: "1" }]],
    ["CircleCI: the project's id", "circleci", [{ claim: "oidc.circleci.com/project-id", equals: "1" }]],
    ["Kubernetes: sub", "kubernetes", [{ claim: "sub", equals: "system:serviceaccount:ci:builder" }]],
    ["generic: a number", "generic", [{ claim: "employee", equalsNumber: 7 }]],
  ])("%s", (_what, template, conditions) => {
    expect(codesOf(ruleFor(template, conditions), "error")).toEqual([]);
  });
});

describe("the linter warns", () => {
  const id: TrustCondition = { claim: "repository_id", equals: "1" };
  const gitlabId: TrustCondition = { claim: "project_id", equals: "1" };
  const main: TrustCondition = { claim: "ref", equals: "refs/heads/main" };
  const sub: TrustCondition = { claim: "sub", equals: "7" };
  it.each<[string, string, TemplateName, TrustCondition[]]>([
    ["any-branch", "any branch of the repository", "github-actions", [id]],
    ["any-event", "pull_request_target has the base's ref", "github-actions", [id, main]],
    ["pull-requests", "pull requests", "github-actions", [id, { claim: "event_name", equals: "pull_request" }]],
    ["pull-requests", "their refs", "github-actions", [id, { claim: "ref", glob: "refs/pull/*/merge" }]],
    ["whole-organization", "every repository", "github-actions", [{ claim: "repository_owner_id", equals: "1" }, main]],
    ["workflow-at-any-ref", "any ref", "github-actions", [id, { claim: "job_workflow_ref", glob: "acme/ci/x.yml@**" }]],
    [
      "workflow-at-any-ref",
      "any branch",
      "github-actions",
      [id, { claim: "job_workflow_ref", glob: "acme/ci/x.yml@refs/heads/*" }],
    ],
    ["name-in-subject", "names in sub", "github-actions", [id, { claim: "sub", glob: "repo:acme/app:**" }]],
    ["name-can-change-hands", "an actor's name", "github-actions", [id, { claim: "actor", equals: "somebody" }]],
    [
      "self-hosted-runner",
      "self-hosted",
      "github-actions",
      [id, { claim: "runner_environment", equals: "self-hosted" }],
    ],
    ["never-holds", "an id as a number", "github-actions", [{ claim: "repository_id", equalsNumber: 1 }]],
    [
      "never-holds",
      "ref_protected as a boolean",
      "gitlab",
      [gitlabId, { claim: "ref_protected", equalsBoolean: true }],
    ],
    ["never-holds", "a boolean as a text", "circleci", [{ claim: "oidc.circleci.com/ssh-rerun", equals: "false" }]],
    ["any-branch", "any branch", "gitlab", [gitlabId]],
    ["branch-or-tag", "a tag of that name", "gitlab", [gitlabId, { claim: "ref", equals: "main" }]],
    ["whole-organization", "a whole group", "gitlab", [{ claim: "namespace_id", equals: "1" }]],
    [
      "pull-requests",
      "merge requests",
      "gitlab",
      [gitlabId, { claim: "pipeline_source", equals: "merge_request_event" }],
    ],
    ["whole-organization", "every pipeline", "buildkite", [{ claim: "organization_id", equals: "1" }]],
    ["any-branch", "any branch", "buildkite", [{ claim: "organization_id", equals: "1" }]],
    ["forks", "forks", "circleci", [{ claim: "oidc.circleci.com/project-id", equals: "1" }]],
    ["ssh-rerun", "a shell", "circleci", [{ claim: "oidc.circleci.com/project-id", equals: "1" }]],
    ["recreated", "another account of the name", "kubernetes", [{ claim: "sub", equals: "system:serviceaccount:a:b" }]],
    ["no-subject", "no sub", "generic", [{ claim: "client_id", equals: "1" }]],
    ["not-an-identity", "jti", "generic", [sub, { claim: "jti", equals: "1" }]],
    ["looks-like-a-pattern", "a star in equals", "generic", [sub, { claim: "ref", equals: "refs/heads/*" }]],
    ["looks-like-a-pattern", "an alternation", "generic", [sub, { claim: "ref", glob: "main|master" }]],
    ["looks-like-a-pattern", "an anchor", "generic", [sub, { claim: "ref", glob: "^refs/heads/*" }]],
  ])("%s: %s (%s)", (code, _what, template, conditions) => {
    expect(codesOf(ruleFor(template, conditions), "warning")).toContain(code);
  });

  it.each([
    ["GitHub's default", "https://github.com/acme"],
    ["another cloud's", "sts.amazonaws.com"],
    ["AWS China's", "sts.amazonaws.com.cn"],
    ["the AWS European Sovereign Cloud's", "sts.amazonaws.eu"],
    ["Azure's", "api://AzureADTokenExchange"],
    ["Azure Government's", "api://AzureADTokenExchangeUSGov"],
    ["the cluster's own", "https://kubernetes.default.svc.cluster.local"],
  ])("of an audience that is %s", (_whose, audience) => {
    expect(codesOf(someRule({ audience }), "warning")).toEqual(["shared-audience"]);
  });

  it("of CircleCI's default audience, which is the organization", () => {
    const rule = ruleFor("circleci", [...templates.circleci.example.conditions]);
    expect(codesOf(rule, "warning")).toEqual([]);
    const [audience = ""] = rule.issuer.split("/").toReversed();
    expect(codesOf({ ...rule, audience }, "warning")).toEqual(["shared-audience"]);
  });

  it("of an issuer that is of another kind, or is spelled as no token spells it", () => {
    const conditions = [...templates["github-actions"].example.conditions];
    expect(codesOf(ruleFor("generic", conditions, github), "warning")).toEqual(["other-template"]);
    expect(codesOf(ruleFor("github-actions", conditions, `${github}/`), "warning")).toEqual(["issuer-spelling"]);
    const buildkite = [...templates.buildkite.example.conditions];
    expect(codesOf(ruleFor("buildkite", buildkite, "https://ci.example.com"), "warning")).toEqual(["issuer-spelling"]);
  });

  it.each([
    ["https://oidc.eks.eu-central-1.amazonaws.com/id/A", true],
    ["https://oidc.eks.cn-north-1.amazonaws.com.cn/id/A", true],
    ["https://oidc.eks.eusc-de-east-1.amazonaws.eu/id/A", true],
    ["https://oidc-eks.eu-central-1.api.aws/id/A", true],
    ["https://oidc.eks.eusc-de-east-1.amazonaws.com/id/A", false],
    ["https://oidc.eks.eu-central-1.amazonaws.com.evil.example/id/A", false],
  ])("of an issuer of Amazon EKS in every partition: %s", (issuer, isKnown) => {
    expect(templates.kubernetes.knows(issuer)).toBe(isKnown);
  });

  it("of an issuer whose keys only its own cluster can reach, unless they are given", () => {
    const issuer = "https://kubernetes.default.svc.cluster.local";
    const rule = ruleFor("kubernetes", [...templates.kubernetes.example.conditions], issuer);
    expect(codesOf(rule, "warning")).toEqual(["keys-out-of-reach"]);
    expect(codesOf({ ...rule, jwks: "{}" }, "warning")).toEqual([]);
  });
});

describe.each(all)("the template $name", (template) => {
  const { id: _id, version: _version, ...rule } = ruleFor(template.name, [...template.example.conditions]);

  it("has an example that can be made, and of which the linter says nothing", () => {
    expect(TrustRuleRequest.safeParse(rule).error).toBeUndefined();
    expect(lintRule(rule)).toEqual([]);
  });

  it("judges its own issuer, and needs what its example binds to identify somebody", () => {
    expect(judgeOf(rule).name).toBe(template.name);
    const narrowing = rule.conditions.filter(
      ({ claim }) => template.claims.find((known) => known.claim === claim)?.use !== "identity",
    );
    expect(narrowing.length).toBeLessThan(rule.conditions.length);
    expect(codesOf({ ...rule, conditions: narrowing }, "error")).toEqual(["identity-missing"]);
  });

  it("takes no name for an identity", () => {
    const identities = new Set(template.identities.flat());
    for (const { claim, use } of template.claims) if (use === "name") expect(identities).not.toContain(claim);
    for (const claim of identities) expect(template.claims.map((known) => known.claim)).toContain(claim);
  });
});
