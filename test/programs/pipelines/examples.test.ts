import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { action } from "./github-runner.js";
import { componentJob, inputsOfComponent } from "./gitlab-component.js";

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("examples/github-actions.yml gives the action what it needs, and may ask for an ID token", () => {
  const Step = z.object({ uses: z.string().optional(), with: z.record(z.string(), z.string()).optional() });
  const workflow = z
    .object({
      permissions: z.record(z.string(), z.string()),
      jobs: z.object({ build: z.object({ steps: z.array(Step) }) }),
    })
    .parse(parse(read("examples/github-actions.yml")));
  const step = workflow.jobs.build.steps.find(({ uses }) => uses?.startsWith("OWNER/factory-secrets@"));
  const required = Object.entries(action.inputs).filter(([, input]) => input.required === true);
  expect(Object.keys(step?.with ?? {})).toEqual(required.map(([name]) => name));
  expect(workflow.permissions).toEqual({ contents: "read", "id-token": "write" });
});

test("examples/gitlab-ci.yml gives the component what it needs, and extends its job", () => {
  const Include = z.object({ component: z.string(), inputs: z.record(z.string(), z.string()) });
  const pipeline = z
    .object({ include: z.tuple([Include]), build: z.object({ extends: z.string() }) })
    .parse(parse(read("examples/gitlab-ci.yml")));
  const [{ component, inputs }] = pipeline.include;
  expect(component).toMatch(/^\$CI_SERVER_FQDN\/GROUP\/factory-secrets\/login@/);
  const job = componentJob(inputs, pipeline.build.extends);
  expect(job.id_tokens).toEqual({ FACTORY_SECRETS_ID_TOKEN: { aud: inputs.url } });
});

test("docs/ci.md names every input of the action and of the component", () => {
  const text = read("docs/ci.md");
  const sections = ["In GitHub Actions", "In GitLab"].map(
    (title) => text.split(`\n## ${title}\n`)[1]?.split("\n## ")[0],
  );
  for (const name of Object.keys(action.inputs)) expect(sections[0]).toContain(`\`${name}\``);
  for (const name of Object.keys(inputsOfComponent)) expect(sections[1]).toContain(`\`${name}\``);
});
