import { describe, expect, it } from "vitest";
import { type Claims, claimAt } from "../../../../src/identity/trust-rules/conditions.js";
import type { TemplateName, TrustCondition } from "../../../../src/identity/trust-rules/contract.js";
import { lintRule } from "../../../../src/identity/trust-rules/lint-rule.js";
import { templates } from "../../../../src/identity/trust-rules/templates/templates.js";
import { audience, matchRules, someRule, trustedBy } from "./some-rule.js";

const uuid = (last: number) => `00000000-0000-4000-8000-00000000000${last}`;

/** The payload of a token as the provider documents it, with made-up values, and a rule that somebody would write for it. */
const providers: Partial<Record<TemplateName, { claims: Claims; conditions: TrustCondition[]; stranger: Claims }>> = {
  "github-actions": {
    claims: {
      jti: "example-id",
      sub: "repo:example@11/app@22:ref:refs/heads/main",
      environment: "prod",
      ref: "refs/heads/main",
      ref_protected: "true",
      ref_type: "branch",
      sha: "example-sha",
      repository: "example/app",
      repository_id: "22",
      repository_owner: "example",
      repository_owner_id: "11",
      repository_visibility: "private",
      enterprise: "example-inc",
      enterprise_id: "5",
      run_id: "33",
      run_number: "10",
      run_attempt: "2",
      actor: "somebody",
      actor_id: "12",
      event_name: "workflow_dispatch",
      workflow: "example-workflow",
      workflow_ref: "example/app/.github/workflows/example.yml@refs/heads/main",
      job_workflow_ref: "example/automation/.github/workflows/oidc.yml@refs/heads/main",
      runner_environment: "github-hosted",
    },
    conditions: [
      { claim: "repository_id", equals: "22" },
      { claim: "environment", equals: "prod" },
      { claim: "job_workflow_ref", glob: "example/automation/.github/workflows/*@refs/heads/main" },
    ],
    stranger: { repository_id: "99", repository_owner_id: "98" },
  },
  gitlab: {
    claims: {
      jti: "example-id",
      sub: "project_path:example/app:ref_type:branch:ref:main",
      namespace_id: "72",
      namespace_path: "example",
      project_id: "20",
      project_path: "example/app",
      user_id: "1",
      user_login: "somebody",
      user_email: "somebody@example.com",
      pipeline_id: "574",
      pipeline_source: "push",
      job_id: "302",
      ref: "main",
      ref_type: "branch",
      ref_protected: "true",
      environment: "production",
      environment_protected: "true",
      runner_id: 1,
      runner_environment: "self-hosted",
      ci_config_ref_uri: "gitlab.com/example/app//.gitlab-ci.yml@refs/heads/main",
    },
    conditions: [
      { claim: "project_id", equals: "20" },
      { claim: "ref_protected", equals: "true" },
    ],
    stranger: { project_id: "21", namespace_id: "73" },
  },
  buildkite: {
    claims: {
      jti: "example-id",
      sub: "organization:example:pipeline:app:ref:refs/heads/main:commit:0000000:step:build",
      organization_slug: "example",
      organization_id: uuid(1),
      pipeline_slug: "app",
      pipeline_id: uuid(2),
      build_number: 5,
      build_branch: "main",
      build_tag: null,
      step_key: null,
      build_source: "ui",
      runner_environment: "buildkite-hosted",
    },
    conditions: [
      { claim: "organization_id", equals: uuid(1) },
      { claim: "pipeline_id", equals: uuid(2) },
      { claim: "build_branch", equals: "main" },
    ],
    stranger: { organization_id: uuid(8), pipeline_id: uuid(9) },
  },
  circleci: {
    claims: {
      sub: `org/${uuid(1)}/project/${uuid(2)}/user/${uuid(3)}/vcs-origin/github.com/example/app/vcs-ref/refs/heads/main`,
      "oidc.circleci.com/project-id": uuid(2),
      "oidc.circleci.com/context-ids": [uuid(4)],
      "oidc.circleci.com/pipeline-definition-id": uuid(5),
      "oidc.circleci.com/pipeline-id": uuid(6),
      "oidc.circleci.com/workflow-id": uuid(7),
      "oidc.circleci.com/vcs-origin": "github.com/example/app",
      "oidc.circleci.com/vcs-ref": "refs/heads/main",
      "oidc.circleci.com/ssh-rerun": false,
    },
    conditions: [
      { claim: "oidc.circleci.com/project-id", equals: uuid(2) },
      { claim: "oidc.circleci.com/vcs-origin", equals: "github.com/example/app" },
      { claim: "oidc.circleci.com/vcs-ref", equals: "refs/heads/main" },
      { claim: "oidc.circleci.com/ssh-rerun", equalsBoolean: false },
    ],
    stranger: { "oidc.circleci.com/project-id": uuid(9) },
  },
  kubernetes: {
    claims: {
      jti: "example-id",
      sub: "system:serviceaccount:ci:builder",
      "kubernetes.io": {
        namespace: "ci",
        node: { name: "node-1", uid: uuid(4) },
        pod: { name: "builder-0", uid: uuid(5) },
        serviceaccount: { name: "builder", uid: uuid(1) },
      },
    },
    conditions: [
      { claim: "/kubernetes.io/namespace", equals: "ci" },
      { claim: "/kubernetes.io/serviceaccount/name", equals: "builder" },
      { claim: "/kubernetes.io/serviceaccount/uid", equals: uuid(1) },
    ],
    stranger: {
      sub: "system:serviceaccount:default:builder",
      "kubernetes.io": { namespace: "default", serviceaccount: { name: "builder", uid: uuid(9) } },
    },
  },
};

describe.each(Object.entries(providers))("a token of %s", (name, { claims: own, conditions, stranger }) => {
  const template = Object.values(templates).find((one) => one.name === name) ?? templates.generic;
  const { issuer } = template.example;
  const rule = someRule({ template: template.name, issuer, conditions });
  const claims: Claims = { iss: issuer, aud: audience, ...own };

  it("has its claims in the types that the linter takes them for", () => {
    for (const { claim, type } of template.claims) {
      const found = claimAt(claims, claim);
      if (found === undefined || found === null) continue;
      expect([claim, typeof found === "string" ? "text" : typeof found]).toEqual([claim, type]);
    }
  });

  it("is let in by a rule of which the linter says nothing", () => {
    expect(lintRule(rule)).toEqual([]);
    expect(matchRules([rule], claims)).toEqual([rule]);
  });

  it("is refused when it is a stranger's of the same names", () => {
    expect(matchRules([rule], { ...claims, ...stranger })).toEqual([]);
  });

  it("leaves in the audit what tells a person which run it was", () => {
    const evidence = trustedBy([rule], claims)?.evidence;
    const names = evidence && "claims" in evidence ? evidence.claims.map((claim) => claim.name) : [];
    expect(names).toEqual(expect.arrayContaining(["sub", ...conditions.map(({ claim }) => claim)]));
    expect(names.length).toBeGreaterThan(conditions.length + 1);
  });
});
