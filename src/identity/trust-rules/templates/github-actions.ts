import { binds, comparisonsOf, type Finding, hostOf, type JudgedRule, type RuleTemplate, warning } from "./template.js";

/** https://docs.github.com/actions/reference/security/oidc */
export const githubActions: RuleTemplate = {
  name: "github-actions",
  title: "GitHub Actions",
  issuer: "https://token.actions.githubusercontent.com; GitHub Enterprise Server: https://HOST/_services/token",
  audience:
    "Ask for this installation's URL with core.getIDToken(audience). A token that was asked for without an audience has the owner's URL, and is everybody's to use.",
  claims: [
    { claim: "repository_id", type: "text", use: "identity", about: "The repository, also after it is renamed." },
    { claim: "repository_owner_id", type: "text", use: "identity", about: "The organization or user that owns it." },
    { claim: "enterprise_id", type: "text", use: "identity", about: "The enterprise of the organization." },
    { claim: "environment", type: "text", use: "narrowing", about: "The environment, whose own rules were met." },
    {
      claim: "job_workflow_ref",
      type: "text",
      use: "narrowing",
      about: "The file of the (reusable) workflow, and its ref.",
    },
    { claim: "workflow_ref", type: "text", use: "narrowing", about: "The file of the calling workflow, and its ref." },
    { claim: "ref", type: "text", use: "narrowing", about: "refs/heads/..., refs/tags/..., refs/pull/.../merge" },
    { claim: "ref_protected", type: "text", use: "narrowing", about: "The text true when the ref is protected." },
    { claim: "event_name", type: "text", use: "narrowing", about: "What began the run: push, pull_request, ..." },
    { claim: "runner_environment", type: "text", use: "narrowing", about: "github-hosted or self-hosted" },
    { claim: "actor_id", type: "text", use: "narrowing", about: "The account that began the run." },
    { claim: "run_id", type: "text", use: "narrowing", about: "The run." },
    { claim: "sub", type: "text", use: "name", about: "Made of names; an organization can change its form." },
    { claim: "repository", type: "text", use: "name", about: "OWNER/NAME: free again once it is renamed or deleted." },
    { claim: "repository_owner", type: "text", use: "name", about: "Free again once it is renamed or deleted." },
    { claim: "actor", type: "text", use: "name", about: "Free again once it is renamed or deleted." },
  ],
  identities: [["repository_id"], ["repository_owner_id"], ["enterprise_id"]],
  advice:
    'Add {"claim": "repository_id", "equals": "<number>"} (gh api repos/OWNER/NAME --jq .id), or repository_owner_id for all of an owner\'s. The names of repositories and owners, which sub is made of too, can be registered by somebody else once they are free.',
  example: {
    issuer: "https://token.actions.githubusercontent.com",
    conditions: [
      { claim: "repository_id", equals: "123456789" },
      { claim: "ref", equals: "refs/heads/main" },
      { claim: "event_name", equalsAny: ["push", "workflow_dispatch"] },
    ],
  },
  knows(issuer) {
    const host = hostOf(issuer);
    return (
      host === "token.actions.githubusercontent.com" ||
      /^token\.actions\.[a-z0-9-]+\.ghe\.com$/.test(host) ||
      /\/_services\/token\/?$/.test(issuer)
    );
  },
  lint: (rule) => [...lintWhich(rule), ...lintWhat(rule)],
};

/** Which repositories, branches and workflows it lets in. */
function lintWhich(rule: JudgedRule): Finding[] {
  const findings: Finding[] = [];
  const isWorkflow = binds(rule, "job_workflow_ref", "workflow_ref");
  if (!binds(rule, "repository_id") && !binds(rule, "job_workflow_ref")) {
    findings.push(
      warning(
        "whole-organization",
        "Every repository of this owner is let in, those made tomorrow too. Add repository_id, or the job_workflow_ref of a workflow that they share.",
      ),
    );
  }
  if (!isWorkflow && !binds(rule, "ref", "environment", "ref_protected")) {
    findings.push(
      warning(
        "any-branch",
        "Any branch and any workflow of the repository is accepted, so anyone who can push a branch gets tokens. Add environment, ref or job_workflow_ref.",
      ),
    );
  } else if (!isWorkflow && !binds(rule, "environment", "event_name")) {
    findings.push(
      warning(
        "any-event",
        'Workflows on pull_request_target, issue_comment and the like run with the ref of the default branch, for what a stranger sent. Add {"claim": "event_name", "equalsAny": ["push", "workflow_dispatch"]}, or environment.',
      ),
    );
  }
  for (const comparison of comparisonsOf(rule, "job_workflow_ref")) {
    if (comparison.kind !== "glob") continue;
    const [, ref = ""] = comparison.glob.split("@");
    if (/[A-Za-z0-9]/.test(ref.replace(/^refs\/heads\//, ""))) continue;
    findings.push(
      warning(
        "workflow-at-any-ref",
        "The workflow is taken at any branch, so anyone who can push a branch there can change what it does. End the glob with @refs/heads/main, @refs/tags/v* or a commit.",
      ),
    );
  }
  return findings;
}

/** What its conditions say that may not be what was meant. */
function lintWhat(rule: JudgedRule): Finding[] {
  const findings: Finding[] = [];
  const asksFor = (claim: string, text: RegExp) =>
    comparisonsOf(rule, claim).some((asked) =>
      asked.kind === "glob" ? text.test(asked.glob) : asked.values.some((value) => text.test(String(value))),
    );
  if (asksFor("event_name", /^pull_request/) || asksFor("ref", /^refs\/pull\//)) {
    findings.push(
      warning(
        "pull-requests",
        "Pull requests are let in: unreviewed code gets what the rule grants. On pull_request_target strangers' forks are among them.",
      ),
    );
  }
  if (asksFor("runner_environment", /^self-hosted$/)) {
    findings.push(
      warning(
        "self-hosted-runner",
        "What ran on a self-hosted runner before may still be there and read this token, unless each job gets a fresh machine.",
      ),
    );
  }
  if (asksFor("sub", /^repo:[^@/]+\//)) {
    findings.push(
      warning(
        "name-in-subject",
        "Repositories created since July 2026 have their ids in sub (repo:OWNER@ID/NAME@ID:...), so this will not hold for them. repository_id, ref and environment say the same for all.",
      ),
    );
  }
  if (binds(rule, "actor")) {
    findings.push(warning("name-can-change-hands", "An actor's name can be somebody else's tomorrow: use actor_id."));
  }
  return findings;
}
