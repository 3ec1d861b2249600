import { binds, comparisonsOf, type Finding, hostOf, type JudgedRule, type RuleTemplate, warning } from "./template.js";

/** https://docs.gitlab.com/ci/secrets/id_token_authentication/ */
export const gitlab: RuleTemplate = {
  name: "gitlab",
  title: "GitLab CI/CD",
  issuer: "The instance's URL: https://gitlab.com",
  audience: "Name this installation's URL as `aud` below `id_tokens` in .gitlab-ci.yml. There is no default.",
  claims: [
    { claim: "project_id", type: "text", use: "identity", about: "The project, also after it is moved." },
    { claim: "namespace_id", type: "text", use: "identity", about: "The group or user directly above the project." },
    { claim: "ref", type: "text", use: "narrowing", about: "The branch or tag, without refs/heads/." },
    { claim: "ref_type", type: "text", use: "narrowing", about: "branch or tag" },
    { claim: "ref_protected", type: "text", use: "narrowing", about: "The text true when the ref is protected." },
    { claim: "environment", type: "text", use: "narrowing", about: "The environment that the job deploys to." },
    { claim: "environment_protected", type: "text", use: "narrowing", about: "The text true when it is protected." },
    { claim: "pipeline_source", type: "text", use: "narrowing", about: "push, merge_request_event, schedule, ..." },
    { claim: "ci_config_ref_uri", type: "text", use: "narrowing", about: "The file of the pipeline, and its ref." },
    { claim: "runner_environment", type: "text", use: "narrowing", about: "gitlab-hosted or self-hosted" },
    { claim: "runner_id", type: "number", use: "narrowing", about: "The runner." },
    { claim: "user_id", type: "text", use: "narrowing", about: "The account that began the job." },
    { claim: "sub", type: "text", use: "name", about: "Made of names; a project can change its form." },
    { claim: "project_path", type: "text", use: "name", about: "Free again once it is moved or deleted." },
    { claim: "namespace_path", type: "text", use: "name", about: "Free again once it is moved or deleted." },
    { claim: "user_login", type: "text", use: "name", about: "Free again once it is renamed or deleted." },
    { claim: "user_email", type: "text", use: "name", about: "An address can be given to somebody else." },
  ],
  identities: [["project_id"], ["namespace_id"]],
  advice:
    'Add {"claim": "project_id", "equals": "<number>"} (on the project\'s page), or namespace_id for all projects directly in a group. Paths, which sub is made of too, can be registered by somebody else once they are free.',
  example: {
    issuer: "https://gitlab.com",
    conditions: [
      { claim: "project_id", equals: "12345678" },
      { claim: "ref_protected", equals: "true" },
    ],
  },
  knows: (issuer) => hostOf(issuer) === "gitlab.com",
  lint,
};

function lint(rule: JudgedRule): Finding[] {
  const findings: Finding[] = [];
  if (!binds(rule, "project_id")) {
    findings.push(
      warning("whole-organization", "Every project of the group is let in, those made tomorrow too. Add project_id."),
    );
  }
  if (!binds(rule, "ref", "ref_protected", "environment_protected", "ci_config_ref_uri")) {
    findings.push(
      warning(
        "any-branch",
        'Any branch is accepted, so anyone who can push one gets tokens. Add {"claim": "ref_protected", "equals": "true"} (the text, not the boolean).',
      ),
    );
  }
  if (binds(rule, "ref") && !binds(rule, "ref_type", "ref_protected")) {
    findings.push(
      warning(
        "branch-or-tag",
        'A tag can have the name of a branch, and other people may push it. Add {"claim": "ref_type", "equals": "branch"}.',
      ),
    );
  }
  const isMergeRequest = comparisonsOf(rule, "pipeline_source").some(
    (asked) => asked.kind === "any-of" && asked.values.includes("merge_request_event"),
  );
  if (isMergeRequest) {
    findings.push(warning("pull-requests", "Merge requests are let in: unreviewed code gets what the rule grants."));
  }
  return findings;
}
