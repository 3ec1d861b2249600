import type { AuditWriter } from "../../audit/record.js";
import { actorOf } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import type { PageStart } from "../../http/page.js";
import { checkDelivery, isDelivered } from "../delivery.js";
import { changedMeanwhile } from "../plan-change.js";
import { checkPrecondition, type VersionInput } from "../versions/change-version.js";

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

const shown = { id: true, name: true, currentVersion: true, deletedAt: true } as const;

// One that was purged has no value to come back with.
const hasValues = { versions: { some: { destroyedAt: null } } } as const;

/** Deleted secrets that can come back, the last one of each name, by name; one more than the page has. */
export async function listDeleted(prisma: PrismaClient, input: { factoryId: string; since: Date; page: PageStart }) {
  const [after] = input.page.after ?? [];
  return prisma.secret.findMany({
    select: shown,
    where: {
      factoryId: input.factoryId,
      deletedAt: { gte: input.since },
      ...(after !== undefined && { name: { gt: after } }),
      ...hasValues,
    },
    distinct: ["name"],
    orderBy: [{ name: "asc" }, { deletedAt: "desc" }],
    take: input.page.size + 1,
  });
}

/** The secret of this name that was deleted last, since then. */
export async function findDeleted(transaction: Transaction, factoryId: string, name: string, since: Date) {
  const row = await transaction.secret.findFirst({
    select: shown,
    where: { factoryId, name, deletedAt: { gte: since }, ...hasValues },
    orderBy: [{ deletedAt: "desc" }, { id: "asc" }],
  });
  return row ?? undefined;
}

/** The sealed value with which the secret of this name would come back; `undefined` for one that may leave in a job. */
export async function findUndeletable(prisma: PrismaClient, factoryId: string, name: string, since: Date) {
  const secret = await prisma.secret.findFirst({
    select: { ...shown, deliverToJobs: true },
    where: { factoryId, name, deletedAt: { gte: since }, ...hasValues },
    orderBy: [{ deletedAt: "desc" }, { id: "asc" }],
  });
  const version = secret?.currentVersion;
  if (secret === null || version === undefined || secret.deliverToJobs) return undefined;
  const row = await prisma.secretVersion.findFirst({
    select: { dataKeyId: true, ciphertext: true },
    where: { secretId: secret.id, version, destroyedAt: null },
  });
  const sealed = row && { dataKeyId: row.dataKeyId, ciphertext: Buffer.from(row.ciphertext) };
  return sealed ? { id: secret.id, version, sealed } : undefined;
}

/** Waits for others who bring this secret back, or sweep it away. */
export async function lockDeleted(transaction: Transaction, id: string): Promise<void> {
  await transaction.$queryRawUnsafe("SELECT id FROM secrets WHERE id = $1::uuid FOR UPDATE", id);
}

/**
 * Makes room for one more secret, and locks the factory by it. Raises the generation if an entry names the secret: then
 * token answers change.
 * @returns the generation, the config and whether an entry of it names the secret; `undefined` when the factory is gone or full
 */
export async function makeRoom(
  transaction: Transaction,
  { factoryId, name, maxSecrets }: { factoryId: string; name: string; maxSecrets: number },
): Promise<{ generation: bigint; named: boolean; configVersion: number } | undefined> {
  const [factory] = await transaction.$queryRawUnsafe<{ generation: bigint; named: boolean; configVersion: number }[]>(
    `UPDATE factories
     SET secret_count = secret_count + 1, generation = generation + CASE WHEN $2 = ANY (named_secrets) THEN 1 ELSE 0 END
     WHERE id = $1::uuid AND deleted_at IS NULL AND secret_count < $3::int
     RETURNING generation, $2 = ANY (named_secrets) AS named, COALESCE(config_version, 0) AS "configVersion"`,
    factoryId,
    name,
    maxSecrets,
  );
  return factory;
}

/** Whether there is a secret of this name. Call `makeRoom` first: then no other can create one meanwhile. */
export async function nameIsTaken(transaction: Transaction, factoryId: string, name: string): Promise<boolean> {
  return (await transaction.secret.count({ where: { factoryId, name, deletedAt: null } })) > 0;
}

/** @param deliverToJobs - of its current version */
export async function bringBack(
  transaction: Transaction,
  id: string,
  { named, deliverToJobs, at }: { named: boolean; deliverToJobs: boolean; at: Date },
): Promise<void> {
  await transaction.secret.update({ where: { id }, data: { deletedAt: null, named, deliverToJobs, updatedAt: at } });
}

/** Deleted secrets that nobody can bring back any more, locked; those that somebody works on are left for later. */
export async function holdExpired(transaction: Transaction, undeleteDays: number, most: number) {
  return transaction.$queryRawUnsafe<
    { id: string; name: string; current_version: number; factory_id: string; factory_name: string }[]
  >(
    `SELECT s.id, s.name, s.current_version, f.id AS factory_id, f.name AS factory_name
     FROM secrets s JOIN factories f ON f.id = s.factory_id
     WHERE s.deleted_at IS NOT NULL AND s.deleted_at < now() - make_interval(hours => 24 * $1::int)
     ORDER BY s.id LIMIT $2::int FOR UPDATE OF s SKIP LOCKED`,
    undeleteDays,
    most,
  );
}

/** Every deleted secret of this name, locked. */
export async function holdDeleted(transaction: Transaction, factoryId: string, name: string) {
  return transaction.$queryRawUnsafe<{ id: string; version: number }[]>(
    `SELECT id, current_version AS version FROM secrets
     WHERE factory_id = $1::uuid AND name = $2::text AND deleted_at IS NOT NULL ORDER BY id FOR UPDATE`,
    factoryId,
    name,
  );
}

/** Removes secrets with every version: their ciphertext is gone for good. */
export async function removeForGood(transaction: Transaction, ids: readonly string[]): Promise<void> {
  await transaction.secretVersion.deleteMany({ where: { secretId: { in: [...ids] } } });
  await transaction.secret.deleteMany({ where: { id: { in: [...ids] } } });
}

const batchSize = 100;
const sweeper = { kind: "service", id: "", name: "sweep" } as const;

/**
 * Removes for good what was deleted too long ago to be had back, each secret with an audit row. Safe on several replicas
 * at once, and against being killed: what is left is swept next time.
 * @returns how many secrets were removed
 */
export async function sweepDeletedSecrets(deps: {
  prisma: PrismaClient;
  audit: AuditWriter;
  undeleteDays: number;
}): Promise<number> {
  let removed = 0;
  for (;;) {
    const count = await deps.prisma.$transaction(async (transaction) => {
      const rows = await holdExpired(transaction, deps.undeleteDays, batchSize);
      await removeForGood(
        transaction,
        rows.map(({ id }) => id),
      );
      const events = rows.map((row) => ({
        ...({ at: databaseNow(), outcome: "allowed", actor: sweeper } as const),
        factory: { id: row.factory_id, name: row.factory_name },
        body: { action: "secret.purged", secret: row.name, secretVersion: row.current_version } as const,
      }));
      await deps.audit.writeWith(transaction, events);
      return rows.length;
    });
    removed += count;
    if (count < batchSize) return removed;
  }
}
