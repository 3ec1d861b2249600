import type { Actor } from "../core/caller.js";
import type { PrismaClient, Transaction } from "../db/database.js";
import type { PageStart } from "../http/page.js";
import { type Destination, type DestinationType, destinationTypes } from "./destinations.js";

/** The current document of a factory, or `undefined` when it has none. */
export async function currentDocument(
  prisma: PrismaClient | Transaction,
  factoryId: string,
): Promise<{ version: number; document: Buffer } | undefined> {
  const factory = await prisma.factory.findUnique({ select: { configVersion: true }, where: { id: factoryId } });
  if (factory?.configVersion == null) return undefined;
  const row = await findVersion(prisma, factoryId, factory.configVersion);
  return row && { version: row.version, document: row.document };
}

export async function findVersion(prisma: PrismaClient | Transaction, factoryId: string, version: number) {
  const row = await prisma.configVersion.findUnique({ where: { factoryId_version: { factoryId, version } } });
  return row ? { ...versionOf(row), document: Buffer.from(row.document) } : undefined;
}

/** The history without its documents, newest first; one more than the page has. */
export async function listVersions(prisma: PrismaClient, factoryId: string, { size, after }: PageStart) {
  const rows = await prisma.configVersion.findMany({
    omit: { document: true },
    where: { factoryId, ...(after && { version: { lt: Number(after[0]) } }) },
    orderBy: { version: "desc" },
    take: size + 1,
  });
  return rows.map(versionOf);
}

function versionOf(row: {
  version: number;
  reason: string | null;
  restoredFrom: number | null;
  createdAt: Date;
  createdByName: string;
}) {
  const { version, reason, restoredFrom, createdAt, createdByName } = row;
  return { version, reason, restoredFrom, createdAt, createdByName };
}

/** What a publisher decides by, held still until its transaction ends. */
export type Held = {
  currentVersion: number | undefined;
  nextVersion: number;
  currentDocument: Buffer | undefined;
  /** The secrets that exist, of those named. */
  existing: ReadonlyMap<string, { deliverToJobs: boolean }>;
  approved: readonly Destination[];
};

/**
 * Waits for other publishers of the factory, then locks the secrets that the config names or is about to name, then the
 * factory. A writer of secrets locks in the same order, so whichever of the two comes second sees what the first has
 * done.
 * @returns `undefined` when the factory is gone
 */
export async function holdForPublishing(
  transaction: Transaction,
  factoryId: string,
  names: readonly string[],
): Promise<Held | undefined> {
  // Only a publisher changes which secrets are named. One at a time, so that those locked here are still the ones named
  // when the factory is locked: a secret that is touched after the factory is the recipe for a deadlock.
  await transaction.$executeRawUnsafe(
    "SELECT pg_advisory_xact_lock(hashtextextended('factory-config:' || $1::text, 0))",
    factoryId,
  );
  await transaction.$queryRawUnsafe(
    `SELECT s.id FROM secrets s JOIN factories f ON f.id = s.factory_id
     WHERE f.id = $1::uuid AND s.deleted_at IS NULL AND (s.name = ANY ($2::text[]) OR s.name = ANY (f.named_secrets))
     ORDER BY s.id FOR UPDATE OF s`,
    factoryId,
    [...names],
  );
  const rows = await transaction.$queryRawUnsafe<{ config_version: number | null; next_config_version: number }[]>(
    "SELECT config_version, next_config_version FROM factories WHERE id = $1::uuid AND deleted_at IS NULL FOR UPDATE",
    factoryId,
  );
  const factory = rows[0];
  if (!factory) return undefined;
  const secrets = await transaction.secret.findMany({
    select: { name: true, deliverToJobs: true },
    where: { factoryId, deletedAt: null, name: { in: [...names] } },
  });
  const approved = await transaction.approvedDestination.findMany({ where: { factoryId } });
  return {
    currentVersion: factory.config_version ?? undefined,
    nextVersion: factory.next_config_version,
    currentDocument: (await currentDocument(transaction, factoryId))?.document,
    existing: new Map(secrets.map((secret) => [secret.name, secret])),
    approved: approved.map(({ secretName, type, host }) => ({ secretName, type: typeOf(type), host })),
  };
}

function typeOf(text: string): DestinationType {
  const type = destinationTypes.find((known) => known === text);
  if (!type) throw new Error("an approved destination has a known type");
  return type;
}

export type NewVersion = {
  factoryId: string;
  version: number;
  document: Buffer;
  names: readonly string[];
  added: readonly Destination[];
  removed: readonly Destination[];
  reason: string | undefined;
  restoredFrom: number | undefined;
  at: Date;
  actor: Actor;
};

/** Makes a document the current one. Call `holdForPublishing` first, in the same transaction. */
export async function insertVersion(transaction: Transaction, input: NewVersion): Promise<void> {
  const { factoryId, version, names, at, actor } = input;
  await transaction.configVersion.create({
    data: {
      factoryId,
      version,
      document: new Uint8Array(input.document),
      reason: input.reason ?? null,
      restoredFrom: input.restoredFrom ?? null,
      createdAt: at,
      createdByKind: actor.kind,
      createdById: actor.id,
      createdByName: actor.name,
    },
  });
  await transaction.factory.update({
    where: { id: factoryId },
    data: {
      configVersion: version,
      nextConfigVersion: version + 1,
      namedSecrets: [...names],
      generation: { increment: 1 },
    },
  });
  await transaction.secret.updateMany({
    where: { factoryId, deletedAt: null, named: true, name: { notIn: [...names] } },
    data: { named: false },
  });
  await transaction.secret.updateMany({
    where: { factoryId, deletedAt: null, named: false, name: { in: [...names] } },
    data: { named: true },
  });
  for (const { secretName, type, host } of input.removed) {
    await transaction.approvedDestination.delete({
      where: { factoryId_secretName_type_host: { factoryId, secretName, type, host } },
    });
  }
  await transaction.approvedDestination.createMany({
    data: input.added.map(({ secretName, type, host }) => ({
      factoryId,
      secretName,
      type,
      host,
      approvedAt: at,
      approvedByKind: actor.kind,
      approvedById: actor.id,
      approvedByName: actor.name,
    })),
  });
}
