import type { EventBody } from "../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { notCurrent, type Precondition } from "../../http/preconditions.js";
import { changedMeanwhile } from "../plan-change.js";
import { emptyVersion, findVersion, type HeldSecret, holdSecret, raiseGeneration } from "./store.js";

export type VersionDeps = { prisma: PrismaClient; audit: AuditWriter; generations: Generations };

export type VersionInput = {
  factory: FactoryRef;
  caller: Caller;
  name: string;
  precondition: Precondition;
  requested: RequestedBy;
  /** The version of the config that the value was judged by, if it was: it becomes current under no other one. */
  judgedBy?: number | undefined;
};

/** What an operation did with the secret that it held. */
export type Changed<T> = { event: EventBody; changesCurrent: boolean; result: T };

export const noSecret = (name: string): Problem => new Problem("not-found", `There is no secret "${name}".`);

/**
 * Holds a secret, checks the precondition, lets `change` do its work and writes the audit row, in one transaction. Where
 * another version becomes current of a secret that an entry names, the factory's generation is raised: no replica mints
 * from the old one any more.
 * @throws Problem `not-found`, `precondition-failed`, `conflict` when that was judged by another config, and what `change`
 *   throws
 */
export async function changeVersion<T>(
  deps: VersionDeps,
  input: VersionInput,
  change: (transaction: Transaction, secret: HeldSecret, at: Date) => Promise<Changed<T>>,
): Promise<T> {
  const { factory, caller, name, requested } = input;
  const { result, generation } = await deps.prisma.$transaction(async (transaction) => {
    const secret = await holdSecret(transaction, factory.id, name);
    if (!secret) throw noSecret(name);
    checkPrecondition(input.precondition, secret.currentVersion);
    const at = databaseNow();
    const changed = await change(transaction, secret, at);
    const raises = changed.changesCurrent && secret.named;
    const raised = raises ? await raiseGeneration(transaction, factory.id, input.judgedBy) : undefined;
    if (raises && raised === undefined) throw changedMeanwhile();
    await deps.audit.writeWith(transaction, [
      { at, outcome: "allowed", actor: actorOf(caller), factory, ...requested, body: changed.event },
    ]);
    return { result: changed.result, generation: raised };
  });
  // Other replicas are told by NOTIFY.
  if (generation !== undefined) deps.generations.observe(factory.id, generation);
  return result;
}

/** @throws Problem `precondition-failed`, when the request holds to another current version */
export function checkPrecondition(precondition: Precondition, currentVersion: number): void {
  if (precondition === "absent")
    throw new Problem("precondition-failed", `The current version is ${currentVersion}: there is one already.`);
  if (typeof precondition === "number" && precondition !== currentVersion)
    throw notCurrent(currentVersion, precondition);
}

/**
 * Destroys the value of one version for good: ciphertext and fingerprint are emptied, the number stays. Of one that is
 * destroyed already nothing changes.
 * @param input.forced - also the previous version while its grace time runs
 * @throws Problem `not-found`, `precondition-failed`, `secret-in-use` for the current version, and for the previous one
 *   while its grace time runs
 */
export function destroyVersion(
  deps: VersionDeps,
  input: VersionInput & { version: number; forced: boolean },
): Promise<void> {
  const { name, version, forced } = input;
  return changeVersion(deps, input, async (transaction, secret, at) => {
    const row = await findVersion(transaction, secret.id, version);
    if (!row) throw new Problem("not-found", `There is no version ${version} of the secret "${name}".`);
    if (version === secret.currentVersion) throw isCurrent(version);
    const until = version === secret.previousVersion ? graceEnd(secret) : undefined;
    const isKept = until !== undefined && at < until && !row.destroyedAt;
    if (isKept && !forced) throw inGraceTime(version, until);
    if (!row.destroyedAt) await emptyVersion(transaction, secret.id, version, at);
    return {
      event: {
        action: "secret.version-destroyed",
        secret: name,
        secretVersion: version,
        ...(isKept && { forced: true as const }),
      },
      changesCurrent: false,
      result: undefined,
    };
  });
}

/** When the grace time of the previous version ends, if it is known when the current one took its place. */
export function graceEnd(secret: Pick<HeldSecret, "currentSince" | "graceSeconds">): Date | undefined {
  return secret.currentSince ? new Date(secret.currentSince.getTime() + secret.graceSeconds * 1000) : undefined;
}

const isCurrent = (version: number): Problem =>
  new Problem(
    "secret-in-use",
    `Version ${version} is the current one. Make another one current first, or delete the secret with purge=true.`,
  );

const inGraceTime = (version: number, until: Date): Problem =>
  new Problem(
    "secret-in-use",
    `Version ${version} was current until a moment ago and can be rolled back to until ${until.toISOString()}. Wait, or destroy it now with force=true.`,
  );
