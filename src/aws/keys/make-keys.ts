import type { z } from "zod";
import type { AuditWriter } from "../../audit/record.js";
import type { RequestedBy } from "../../audit/requested-by.js";
import type { AwsKeyPair } from "../../broker/contract.js";
import type { Facts } from "../../broker/factory-facts.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { AwsEntry } from "../../factory-config/entry.js";
import type { Callers } from "../../identity/callers.js";
import type { AwsKeys } from "./aws-keys.js";

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

/** Gives out the keys of a job for an entry. The audit keeps that somebody has them, and their id. */
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
