import { binds, type Finding, hostOf, type JudgedRule, type RuleTemplate, warning } from "./template.js";

/** https://buildkite.com/docs/agent/cli/reference/oidc */
export const buildkite: RuleTemplate = {
  name: "buildkite",
  title: "Buildkite",
  issuer: "https://agent.buildkite.com",
  audience:
    "buildkite-agent oidc request-token --audience <this installation's URL> --claim organization_id --claim pipeline_id. Without --audience it is https://buildkite.com/ORGANIZATION.",
  claims: [
    { claim: "organization_id", type: "text", use: "identity", about: "The organization. Asked for with --claim." },
    { claim: "pipeline_id", type: "text", use: "narrowing", about: "The pipeline. Asked for with --claim." },
    {
      claim: "build_branch",
      type: "text",
      use: "narrowing",
      about: "The branch, as named by the person who began the build.",
    },
    { claim: "build_tag", type: "text", use: "narrowing", about: "The tag." },
    { claim: "build_source", type: "text", use: "narrowing", about: "webhook, ui, api, schedule, trigger_job" },
    { claim: "step_key", type: "text", use: "narrowing", about: "The step." },
    { claim: "build_number", type: "number", use: "narrowing", about: "The build." },
    { claim: "runner_environment", type: "text", use: "narrowing", about: "buildkite-hosted or self-hosted" },
    { claim: "sub", type: "text", use: "name", about: "Made of names." },
    { claim: "organization_slug", type: "text", use: "name", about: "Free again once it is renamed or deleted." },
    { claim: "pipeline_slug", type: "text", use: "name", about: "Free again once it is renamed or deleted." },
  ],
  identities: [["organization_id"]],
  advice:
    'Add {"claim": "organization_id", "equals": "<uuid>"}: the issuer is one for all organizations, and their names, which sub is made of too, can be registered by somebody else once they are free. Jobs ask for the claim with --claim organization_id.',
  example: {
    issuer: "https://agent.buildkite.com",
    conditions: [
      { claim: "organization_id", equals: "00000000-0000-4000-8000-000000000001" },
      { claim: "pipeline_id", equals: "00000000-0000-4000-8000-000000000002" },
      { claim: "build_branch", equals: "main" },
    ],
  },
  knows: (issuer) => hostOf(issuer) === "agent.buildkite.com",
  lint,
};

function lint(rule: JudgedRule): Finding[] {
  const findings: Finding[] = [];
  if (!binds(rule, "pipeline_id")) {
    findings.push(
      warning(
        "whole-organization",
        "Every pipeline of the organization is let in, those made tomorrow too. Add pipeline_id (jobs ask for it with --claim pipeline_id).",
      ),
    );
  }
  if (!binds(rule, "build_branch", "build_tag")) {
    findings.push(
      warning(
        "any-branch",
        "Builds of any branch are let in, pull requests of forks among them where the pipeline builds those. Add build_branch.",
      ),
    );
  }
  return findings;
}
