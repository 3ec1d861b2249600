import type { AwsFiles, AwsFilesInput } from "../../broker/aws-files.js";
import type { FactoryFacts } from "../../broker/factory-facts.js";
import { Problem } from "../../core/problem.js";
import type { AwsEntry } from "../../factory-config/entry.js";
import { awsEntries, byCurrentFacts, onlyAwsEntry } from "./choose-entry.js";
import { giveKeys, jobForKeys, type MakeKeysDeps } from "./make-keys.js";
import { renderConfig, renderCredentialsFile } from "./render-files.js";

/**
 * Answers the formats of registry-tokens that AWS programs read.
 * @throws Problem `not-representable` for a caller who is no job, whose keys these would be; those of `awsEntries`
 */
export async function answerAwsFiles(deps: MakeKeysDeps, input: AwsFilesInput): Promise<AwsFiles> {
  const { factory, caller, format, requested } = input;
  const job = await jobForKeys(deps.callers, { jobId: caller.id, caller, factory }).catch((error: unknown) => {
    throw error instanceof Problem && error.code === "not-found" ? noJob(format) : error;
  });
  const entries = await byCurrentFacts(deps.facts, factory, (facts) => entriesAsked(facts, input));
  const pairs = await Promise.all(entries.map((entry) => giveKeys(deps, { job, entry, caller, factory, requested })));
  const [first] = pairs;
  if (format === "aws-credentials-file" && first) return renderCredentialsFile(first, deps.publicUrl());
  return renderConfig(pairs);
}

function entriesAsked(facts: FactoryFacts, { asked, caller, format }: AwsFilesInput): AwsEntry[] {
  if (asked?.some(({ repositories }) => repositories !== undefined)) {
    throw new Problem(
      "invalid-request",
      `The format ${format} takes no repositories: its keys reach what the job may pull. Open the job with grants.`,
    );
  }
  if (format === "aws-credentials-file") return [onlyAwsEntry(facts, caller, onlyOne(asked))];
  return asked
    ? asked.flatMap(({ registry }) => awsEntries(facts, caller, registry))
    : awsEntries(facts, caller, undefined);
}

function onlyOne(asked: AwsFilesInput["asked"]): string | undefined {
  if (asked && asked.length > 1) {
    throw new Problem(
      "registry-required",
      'The format aws-credentials-file is for one registry: "registry": "<host>".',
    );
  }
  return asked?.[0]?.registry;
}

const noJob = (format: string): Problem =>
  new Problem(
    "not-representable",
    `The format ${format} holds keys of a job, so only a job can ask for it: one of POST .../jobs, or an ID token that was exchanged at /oauth/token.`,
  );
