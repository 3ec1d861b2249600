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
  /** The secrets that exist, of those named, and whether jobs are given their current version. */
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
  const secrets = await transaction.$queryRawUnsafe<{ name: string; deliverToJobs: boolean }[]>(
    `SELECT s.name, v.deliver_to_jobs AS "deliverToJobs"
     FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
     WHERE s.factory_id = $1::uuid AND s.deleted_at IS NULL AND s.name = ANY ($2::text[])`,
    factoryId,
    [...names],
  );
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
    // The column is for replicas of the release before, which may have left it at what another version said.
    data: { named: true, deliverToJobs: false },
  });
  await transaction.$executeRawUnsafe(
    `DELETE FROM approved_destinations a
     USING jsonb_to_recordset($2::jsonb) AS gone("secretName" text, type text, host text)
     WHERE a.factory_id = $1::uuid AND a.secret_name = gone."secretName" AND a.type = gone.type AND a.host = gone.host`,
    factoryId,
    JSON.stringify(input.removed),
  );
  // As one text and not as a row of parameters for each: a config may have thousands.
  await transaction.$executeRawUnsafe(
    `INSERT INTO approved_destinations
       (factory_id, secret_name, type, host, approved_at, approved_by_kind, approved_by_id, approved_by_name)
     SELECT $1::uuid, "secretName", type, host, $3::timestamptz, $4, $5, $6
     FROM jsonb_to_recordset($2::jsonb) AS added("secretName" text, type text, host text)`,
    factoryId,
    JSON.stringify(input.added),
    at.toISOString(),
    actor.kind,
    actor.id,
    actor.name,
  );
}
