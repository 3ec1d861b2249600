import type { AuditWriter } from "../../audit/record.js";
import { actorOf } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { checkDelivery } from "../delivery/deliverability.js";
import { isDelivered } from "../delivery/store.js";
import { changedMeanwhile } from "../plan-change.js";
import { checkPrecondition, type VersionInput } from "../versions/change-version.js";
import { bringBack, findDeleted, lockDeleted, makeRoom, nameIsTaken } from "./store.js";

export type UndeleteDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  generations: Generations;
  limits: { maxSecrets: number };
  /** For how many days a deleted secret can be had back. */
  undeleteDays: number;
};

const dayMs = 86_400_000;
const maxAttempts = 20;

/** Another secret of the name was deleted last by now, or this one is back already: look again. */
class ChangedMeanwhile extends Error {
  override readonly name = "ChangedMeanwhile";
}

/** What was deleted before this time is gone. */
export const undeletableSince = (undeleteDays: number, now: Date): Date =>
  new Date(now.getTime() - undeleteDays * dayMs);

/**
 * Brings back the secret of this name that was deleted last, with all its versions. `If-Match` is about what was its
 * current version.
 * @returns the version that is current now
 * @throws Problem `not-found`, `already-exists`, `precondition-failed`, `limit-reached`, `conflict`; as `checkDelivery`
 *   when its current version may be delivered to jobs
 */
export async function undeleteSecret(deps: UndeleteDeps, input: VersionInput): Promise<number> {
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    try {
      const back = await deps.prisma.$transaction((transaction) => undelete(deps, input, transaction));
      // Other replicas are told by NOTIFY.
      deps.generations.observe(input.factory.id, back.generation);
      return back.version;
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile)) throw error;
    }
  }
  throw new Problem("conflict", "Others delete and undelete this secret at the same time. Try again.", {
    retryAfterSeconds: 1,
  });
}

async function undelete(
  deps: UndeleteDeps,
  input: VersionInput,
  transaction: Transaction,
): Promise<{ version: number; generation: bigint }> {
  const { factory, caller, name, requested } = input;
  const at = databaseNow();
  const find = () => findDeleted(transaction, factory.id, name, undeletableSince(deps.undeleteDays, at));
  const secret = await find();
  if (!secret) throw nothingToUndelete(name, deps.undeleteDays);
  const version = secret.currentVersion;
  checkPrecondition(input.precondition, version);
  // In the order of all who write secrets: the secret, then the factory. After that nobody deletes or creates one.
  await lockDeleted(transaction, secret.id);
  const { maxSecrets } = deps.limits;
  const room = await makeRoom(transaction, { factoryId: factory.id, name, maxSecrets });
  // It may have been back meanwhile, with another current version: what is judged below is what comes back.
  const held = await find();
  if (held?.id !== secret.id || held.currentVersion !== version) throw new ChangedMeanwhile();
  if (!room) throw new Problem("limit-reached", `A factory holds at most ${maxSecrets} secrets.`);
  if (await nameIsTaken(transaction, factory.id, name)) throw nameTaken(name);
  const { named } = room;
  if (named && input.judgedBy !== undefined && input.judgedBy !== room.configVersion) throw changedMeanwhile();
  const deliverToJobs = await isDelivered(transaction, { secretId: secret.id, version });
  checkDelivery(caller, { named, before: false, after: deliverToJobs });
  await bringBack(transaction, secret.id, { named, deliverToJobs, at });
  await deps.audit.writeWith(transaction, [
    {
      ...{ at, outcome: "allowed", actor: actorOf(caller), factory, ...requested },
      body: { action: "secret.undeleted", secret: name, secretVersion: version, deliverToJobs },
    },
  ]);
  return { version, generation: room.generation };
}

const nothingToUndelete = (name: string, days: number): Problem =>
  new Problem("not-found", `No secret "${name}" was deleted in the last ${days} days that still has its values.`);

const nameTaken = (name: string): Problem =>
  new Problem("already-exists", `There is another secret "${name}" by now. Delete that one first, or keep it.`);
