import { z } from "zod";
import { type AuditWriter, type RequestedBy, requestedBy } from "../audit/record.js";
import { AwsKeyPair } from "../broker/issue/contract.js";
import { decideDemands } from "../broker/issue/decide-demands.js";
import type { FactoryFacts, Facts } from "../broker/issue/factory-facts.js";
import type { AwsFiles, AwsFilesInput } from "../broker/issue/render-reply.js";
import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { ecrHost } from "../core/cloud-hosts.js";
import { databaseNow } from "../core/database-clock.js";
import { RegistryName } from "../core/grant.js";
import { Problem } from "../core/problem.js";
import type { AwsEntry } from "../factory-config/entry.js";
import { FactoryIdParams } from "../http/contract.js";
import { json, route } from "../http/route.js";
import type { Callers } from "../identity/callers.js";
import type { TokenRequests } from "../limits/token-requests.js";
import type { AwsKeys } from "./aws-keys.js";

const AwsKeysRequest = z
  .strictObject({
    registry: RegistryName.optional().meta({
      description: "Host or id of an entry of type aws. May be absent when there is only one.",
    }),
  })
  .meta({ id: "AwsKeysRequest" });

const makeKeys = route(
  {
    id: "makeJobAwsKeys",
    method: "post",
    path: "/v1/factories/{factory}/jobs/{id}:aws-keys",
    tag: "AWS programs",
    summary: "AWS-shaped keys of a job for one registry entry",
    description:
      "For the job itself, or a credential without grants. AWS programs sign with them what they ask of `/aws/ecr/{factory}`; they are good nowhere else, and end with the job. Asking again gives the same pair.",
    auth: { permission: "registry-tokens:issue" },
    params: FactoryIdParams,
    body: json(AwsKeysRequest),
    replies: { 200: { description: "The pair.", content: { "application/json": AwsKeyPair } } },
    problems: ["outside-grants", "registry-unknown", "registry-required", "not-representable", "invalid-config"],
    holdsCredential: true,
  },
  async (deps: MakeKeysDeps & { tokenRequests: TokenRequests }, { caller, factory, params, body, request }) => {
    deps.tokenRequests.count(caller);
    const job = await jobForKeys(deps.callers, { jobId: params.id, caller, factory });
    const entry = await byCurrentFacts(deps.facts, factory, (facts) => onlyAwsEntry(facts, job, body.registry));
    const pair = await giveKeys(deps, { job, entry, caller, factory, requested: requestedBy(request) });
    return { status: 200, body: pair };
  },
);

export const awsKeyRoutes = [makeKeys];

export type MakeKeysDeps = {
  awsKeys: AwsKeys;
  callers: Callers;
  facts: Facts;
  audit: AuditWriter;
  publicUrl: () => string;
};

type Pair = z.output<typeof AwsKeyPair>;

/**
 * The running job of this id, if the caller may have its keys: the job itself, or a credential whose reach no grants
 * limit, which could have pulled all that any job can.
 * @throws Problem `not-found`
 */
export async function jobForKeys(
  callers: Callers,
  { jobId, caller, factory }: { jobId: string; caller: Caller; factory: FactoryRef },
): Promise<Caller> {
  const isUnlimited = ["operator", "api-token", "oauth-client"].includes(caller.kind) && caller.grants === undefined;
  if (caller.id !== jobId && !isUnlimited) throw noSuchJob();
  const job = await callers.withId(jobId).catch((error: unknown) => {
    throw error instanceof Problem && error.code === "unauthenticated" ? noSuchJob() : error;
  });
  const isJob = job.kind === "job" || job.kind === "oidc";
  if (!isJob || job.factory?.id !== factory.id) throw noSuchJob();
  return job;
}

/** Gives out the keys of a job for an entry. The audit keeps that someone has them, and their id. */
export async function giveKeys(
  deps: MakeKeysDeps,
  input: { job: Caller; entry: AwsEntry; caller: Caller; factory: FactoryRef; requested: RequestedBy },
): Promise<Pair> {
  const { job, entry, caller, factory, requested } = input;
  const pair = await deps.awsKeys.pairOf(factory, job.id, entry);
  const { accessKeyId } = pair;
  await deps.audit.write({
    at: databaseNow(),
    outcome: "allowed",
    actor: actorOf(caller),
    factory,
    ...requested,
    body: { action: "job.aws-keys-made", credential: { id: job.id, name: job.name }, entry: entry.id, accessKeyId },
  });
  return {
    ...pair,
    entry: entry.id,
    region: entry.region,
    endpointUrl: `${deps.publicUrl()}/aws/ecr/${factory.name}`,
    ...(job.expiresAt && { expiresAt: job.expiresAt.toISOString() }),
  };
}

const noSuchJob = (): Problem =>
  new Problem(
    "not-found",
    "There is no such job that runs here. A workload with an ID token has one once it has exchanged that at /oauth/token.",
  );

/**
 * Decides by the facts of a factory, and once more by newer ones if that was refused by facts of yesterday.
 * @throws what `decide` throws
 */
export async function byCurrentFacts<T>(
  facts: Facts,
  factory: FactoryRef,
  decide: (facts: FactoryFacts) => T,
): Promise<T> {
  const known = await facts.of(factory);
  try {
    return decide(known);
  } catch (error) {
    if (!(error instanceof Problem) || !(await facts.areOutdated(known))) throw error;
    return decide(await facts.of(factory));
  }
}

/**
 * The entries of type aws that a caller may pull from.
 * @param asked - the host or the id of one; absent: all of them
 * @throws Problem for one that is not there, not of type aws, or outside the caller's grants
 */
export function awsEntries(
  facts: FactoryFacts,
  caller: Pick<Caller, "grants">,
  asked: string | undefined,
): [AwsEntry, ...AwsEntry[]] {
  const decided = decideDemands(facts, caller, asked === undefined ? undefined : [{ registry: asked }], false);
  const refused = decided.find((one) => "problem" in one);
  if (asked !== undefined && refused) throw refused.problem;
  const entries = new Map<string, AwsEntry>();
  for (const { entry } of decided.flatMap((one) => ("demands" in one ? one.demands : []))) {
    if (entry.type === "aws" && !isPublic(entry)) entries.set(entry.id, entry);
  }
  const [first, ...others] = entries.values();
  if (first) return [first, ...others];
  if (asked === undefined)
    throw new Problem("registry-unknown", "There is no registry entry of type aws to pull from.");
  throw new Problem(
    "not-representable",
    "This registry is not an Amazon ECR of an account, so it has no AWS credentials. Ask for a registry token.",
  );
}

const isPublic = ({ host }: AwsEntry): boolean => host !== undefined && ecrHost(host)?.public === true;

/** The one that is meant. @throws Problem `registry-required` when several could be */
export function onlyAwsEntry(facts: FactoryFacts, caller: Pick<Caller, "grants">, asked: string | undefined): AwsEntry {
  const [entry, ...others] = awsEntries(facts, caller, asked);
  if (others.length === 0) return entry;
  const ids = [entry, ...others].map(({ id }) => id).join(", ");
  throw new Problem("registry-required", `There are several registry entries of type aws. Name one of them: ${ids}.`);
}

const services = "factory-secrets";

/**
 * What AWS programs read: environment variables, or `~/.aws/config` and `~/.aws/credentials`. Only calls of Amazon ECR
 * come to this service. One pair is the profile `default`; of several each is a profile named as its entry.
 * Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
 */
export function renderConfig(pairs: readonly Pair[]): AwsFiles {
  const [first, ...others] = pairs;
  const isOne = others.length === 0;
  const configs = pairs.map((pair) =>
    [isOne ? "[default]" : `[profile ${pair.entry}]`, `region = ${pair.region}`, `services = ${services}`].join("\n"),
  );
  const endpoint = `[services ${services}]\necr =\n  endpoint_url = ${first?.endpointUrl ?? ""}`;
  return {
    ...(isOne && first && { environment: environmentOf(first) }),
    configFile: `${[...configs, endpoint].join("\n\n")}\n`,
    credentialsFile: pairs.map((pair) => credentials(isOne ? "default" : pair.entry, pair)).join("\n"),
  };
}

/**
 * A credentials file for programs that read nothing else. A `[services]` section is an error in it, so that every AWS call
 * of the one who reads it comes to this service.
 */
export function renderCredentialsFile(pair: Pair, publicUrl: string): AwsFiles {
  return { credentialsFile: `${credentials("default", pair)}endpoint_url = ${publicUrl}\n` };
}

function environmentOf(pair: Pair): { name: string; value: string }[] {
  return [
    { name: "AWS_ENDPOINT_URL_ECR", value: pair.endpointUrl },
    { name: "AWS_ACCESS_KEY_ID", value: pair.accessKeyId },
    { name: "AWS_SECRET_ACCESS_KEY", value: pair.secretAccessKey },
    { name: "AWS_DEFAULT_REGION", value: pair.region },
    { name: "AWS_REGION", value: pair.region },
  ];
}

function credentials(profile: string, pair: Pair): string {
  return `[${profile}]\naws_access_key_id = ${pair.accessKeyId}\naws_secret_access_key = ${pair.secretAccessKey}\n`;
}

/**
 * Answers the formats of registry-tokens that AWS programs read.
 * @throws Problem `not-representable` for a caller who is not a job, whose keys these would be; those of `awsEntries`
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
