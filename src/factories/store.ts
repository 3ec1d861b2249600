import type { AuditWriter, RequestedBy } from "../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { Problem } from "../core/problem.js";
import type { WrappedDataKey } from "../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import { FactoryName } from "../http/contract.js";
import type { PageStart } from "../http/page.js";

const shown = { id: true, name: true, createdAt: true } as const;

export async function insertFactory(
  transaction: Transaction,
  factory: { id: string; name: string; createdAt: Date },
  dataKeys: readonly WrappedDataKey[],
): Promise<void> {
  await transaction.factory.create({ data: factory });
  await transaction.dataKey.createMany({
    data: dataKeys.map((key) => ({
      id: key.id,
      factoryId: factory.id,
      purpose: key.purpose,
      keyEncryptionKeyId: key.keyEncryptionKeyId,
      wrapped: new Uint8Array(key.wrapped),
    })),
  });
}

export async function listFactories(prisma: PrismaClient, { size, after: [after] = [] }: PageStart) {
  return prisma.factory.findMany({
    select: shown,
    where: { deletedAt: null, ...(after !== undefined && { name: { gt: after } }) },
    orderBy: { name: "asc" },
    take: size + 1,
  });
}

export async function findFactory(prisma: PrismaClient, name: string) {
  // What no factory can be called is not a question for Postgres, which fails on a NUL.
  if (!FactoryName.safeParse(name).success) return undefined;
  return prisma.factory.findFirst({ select: shown, where: { name, deletedAt: null } });
}

/** Whether the name is, or ever was, a factory's. */
export async function factoryOfName(prisma: PrismaClient, name: string) {
  return prisma.factory.findUnique({ select: { deletedAt: true }, where: { name } });
}

/**
 * Ends a factory: its secrets, configs, trust rules, device authorities and data keys are gone for good, its credentials
 * are withdrawn. What stays is its row, so that the name is never given out again, and the audit.
 * @returns the generation that it raised, or `undefined` when the factory was gone already
 * @throws deadlock (40P01), foreign key violation (23503, 23001) when others write in it in the meantime: nothing was erased
 */
export async function eraseFactory(transaction: Transaction, id: string): Promise<bigint | undefined> {
  // In the order of those who write secrets, publish configs and withdraw credentials, who all take the factory last.
  // A writer that was first has its new version deleted below; one that comes later finds its secret gone.
  await transaction.$queryRawUnsafe("SELECT id FROM secrets WHERE factory_id = $1::uuid ORDER BY id FOR UPDATE", id);
  await transaction.$queryRawUnsafe(
    `SELECT id FROM credentials WHERE factory_id = $1::uuid AND revoked_at IS NULL
     ORDER BY parent_id NULLS FIRST, id FOR UPDATE`,
    id,
  );
  const now = databaseNow();
  const [erased] = await transaction.factory.updateManyAndReturn({
    select: { generation: true },
    where: { id, deletedAt: null },
    data: { deletedAt: now, generation: { increment: 1 }, secretCount: 0, configVersion: null, namedSecrets: [] },
  });
  if (!erased) return undefined;
  await transaction.secretVersion.deleteMany({ where: { secret: { factoryId: id } } });
  await transaction.secret.deleteMany({ where: { factoryId: id } });
  await transaction.dataKey.deleteMany({ where: { factoryId: id } });
  await transaction.configVersion.deleteMany({ where: { factoryId: id } });
  await transaction.approvedDestination.deleteMany({ where: { factoryId: id } });
  await transaction.trustRule.deleteMany({ where: { factoryId: id } });
  await transaction.deniedDevice.deleteMany({ where: { factoryId: id } });
  await transaction.deviceAuthority.deleteMany({ where: { factoryId: id } });
  await transaction.credential.updateMany({ where: { factoryId: id, revokedAt: null }, data: { revokedAt: now } });
  return erased.generation;
}

export type FactorySettingsRow = { keepVersions: number; rotationGraceSeconds: number; settingsVersion: number };

const settings = { keepVersions: true, rotationGraceSeconds: true, settingsVersion: true } as const;

export async function findSettings(prisma: PrismaClient, id: string): Promise<FactorySettingsRow | undefined> {
  return (await prisma.factory.findFirst({ select: settings, where: { id, deletedAt: null } })) ?? undefined;
}

/** @returns the settings as they are now; `undefined` when they are of another version, or the factory is gone */
export async function changeSettings(
  transaction: Transaction,
  id: string,
  change: { keepVersions?: number | undefined; rotationGraceSeconds?: number | undefined },
  ifVersion: number | undefined,
): Promise<FactorySettingsRow | undefined> {
  const { keepVersions, rotationGraceSeconds } = change;
  const [changed] = await transaction.factory.updateManyAndReturn({
    select: settings,
    where: { id, deletedAt: null, ...(ifVersion !== undefined && { settingsVersion: ifVersion }) },
    data: {
      settingsVersion: { increment: 1 },
      ...(keepVersions !== undefined && { keepVersions }),
      ...(rotationGraceSeconds !== undefined && { rotationGraceSeconds }),
    },
  });
  return changed;
}

type Deps = { prisma: PrismaClient; audit: AuditWriter; generations: Generations };
type Input = { factory: FactoryRef; caller: Caller; requested: RequestedBy };

const maxAttempts = 5;

// A deadlock, and a row that still refers to one that is deleted: 23503 until Postgres 17, 23001 since 18.
const disturbed = new Set(["40P01", "23503", "23001"]);

/**
 * Deletes a factory with all that is in it, on every replica, no matter who writes in it at the same time.
 * @throws Problem `not-found` when it is gone already
 */
export async function deleteFactory(deps: Deps, input: Input): Promise<void> {
  const generation = await eraseDespiteWriters(deps, input);
  // Other replicas are told by NOTIFY.
  deps.generations.observe(input.factory.id, generation);
}

async function eraseDespiteWriters(deps: Deps, input: Input): Promise<bigint> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await eraseOnce(deps, input);
    } catch (error) {
      // A secret that came to be after the others were locked has a writer of its own. Nothing of this attempt is
      // left, and the next one waits for that writer first.
      if (!disturbed.has(sqlState(error) ?? "") || attempt === maxAttempts) throw error;
    }
  }
}

function eraseOnce({ prisma, audit }: Deps, { factory, caller, requested }: Input): Promise<bigint> {
  return prisma.$transaction(async (transaction) => {
    const raised = await eraseFactory(transaction, factory.id);
    if (raised === undefined) throw new Problem("not-found", "There is no such factory.");
    const event = { at: databaseNow(), outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const;
    await audit.writeWith(transaction, [{ ...event, body: { action: "factory.deleted" } }]);
    return raised;
  });
}
