import type { FactoryRef } from "../core/caller.js";
import { dataKeyPurposeOf } from "../crypto/envelope.js";
import type { KeyEncryptionKey } from "../crypto/key-encryption-key.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../db/database.js";
import { FactoryName } from "../http/contract.js";
import type { MovedKey, StoredKey } from "./work/rewrap/store.js";

/**
 * Unwraps a stored key of any kind. Anyone who has the bytes erases them.
 * @throws EnvelopeError, Problem `key-unavailable` as `KeyRing.unwrap`
 */
export async function openStoredKey(keys: KeyRing, keyEncryptionKeyId: string, key: StoredKey): Promise<Buffer> {
  const { wrapped } = key;
  if (key.kind === "signing") {
    const { id, purpose, alg } = key;
    return keys.unwrapSigningKey({ id, purpose, alg, keyEncryptionKeyId, wrapped });
  }
  const { owner, id, purpose } = dataKeyOf(key);
  return (await keys.unwrap(owner, { id, purpose, keyEncryptionKeyId, wrapped })).bytes;
}

/** Wraps the bytes of a stored key by another key-encryption key, for the same place. @throws Problem `key-unavailable` */
export async function wrapStoredKey(
  keys: KeyRing,
  by: KeyEncryptionKey,
  key: StoredKey,
  bytes: Buffer,
): Promise<MovedKey> {
  if (key.kind === "signing") {
    const { id, purpose, alg } = key;
    return { key, ...(await keys.wrapSigningKey({ id, purpose, alg }, bytes, by)) };
  }
  const { owner, id, purpose } = dataKeyOf(key);
  return { key, ...(await keys.wrapDataKey(owner, { id, purpose, bytes }, by)) };
}

function dataKeyOf(key: Exclude<StoredKey, { kind: "signing" }>) {
  return key.kind === "data"
    ? { owner: key.factoryId, id: key.id, purpose: dataKeyPurposeOf(key.purpose) }
    : { owner: key.installationId, id: key.dataKeyId, purpose: "audit-checkpoint" as const };
}

/** How many stored keys are wrapped by a key. */
export type Wraps = { dataKeys: number; signingKeys: number; auditKeys: number };

/** A key as the database knows it. */
export type KeyRow = { id: string; source: string; state: string; checkValue: Buffer; createdAt: Date; wraps: Wraps };

/** A replica that was not heard of for so long is gone. */
const replicaGoneSeconds = 15;

/** All keys that were ever added, the oldest first. */
export async function listKeyRows(prisma: PrismaClient): Promise<KeyRow[]> {
  return (
    await prisma.keyEncryptionKey.findMany({ include: counts, orderBy: [{ createdAt: "asc" }, { id: "asc" }] })
  ).map(keyRow);
}

export async function findKeyRow(prisma: PrismaClient | Transaction, id: string): Promise<KeyRow | undefined> {
  const row = await prisma.keyEncryptionKey.findUnique({ include: counts, where: { id } });
  return row ? keyRow(row) : undefined;
}

const counts = { _count: { select: { dataKeys: true, signingKeys: true, auditKeys: true } } } as const;

function keyRow(row: {
  id: string;
  source: string;
  state: string;
  checkValue: Uint8Array;
  createdAt: Date;
  _count: Wraps;
}): KeyRow {
  const { dataKeys, signingKeys, auditKeys } = row._count;
  return {
    id: row.id,
    source: row.source,
    state: row.state,
    checkValue: Buffer.from(row.checkValue),
    createdAt: row.createdAt,
    wraps: { dataKeys, signingKeys, auditKeys },
  };
}

/**
 * Lets one at a time change the states of keys. Anyone who writes something that a key has wrapped waits too, and is
 * waited for: what is counted after this is all there is.
 */
export async function lockKeys(transaction: Transaction): Promise<void> {
  await transaction.$queryRawUnsafe("SELECT id FROM key_encryption_keys ORDER BY id FOR UPDATE");
}

export async function activeKeyId(transaction: Transaction): Promise<string | undefined> {
  return (await transaction.keyEncryptionKey.findFirst({ select: { id: true }, where: { state: "active" } }))?.id;
}

/** @returns false when it is there already */
export async function insertKnownKey(
  transaction: Transaction,
  key: { id: string; source: string; checkValue: Buffer },
): Promise<boolean> {
  const { id, source } = key;
  const inserted = await transaction.keyEncryptionKey.createMany({
    data: { id, source, state: "known", checkValue: new Uint8Array(key.checkValue) },
    skipDuplicates: true,
  });
  return inserted.count === 1;
}

export async function setKeyState(
  transaction: Transaction,
  id: string,
  state: "known" | "active" | "retired",
): Promise<void> {
  await transaction.keyEncryptionKey.update({ where: { id }, data: { state } });
}

/** Tells the others which keys this replica holds. */
export async function reportReplica(prisma: PrismaClient, id: string, heldKeys: readonly string[]): Promise<void> {
  await prisma.$executeRawUnsafe(
    `/* report-replica */ INSERT INTO replicas (id, held_keys, seen_at) VALUES ($1::uuid, $2::text[], now())
     ON CONFLICT (id) DO UPDATE SET held_keys = EXCLUDED.held_keys, seen_at = EXCLUDED.seen_at`,
    id,
    heldKeys,
  );
}

/** A replica that ends, and those that have ended without a word. */
export async function forgetReplica(prisma: PrismaClient, id: string): Promise<void> {
  await prisma.$executeRawUnsafe(
    "DELETE FROM replicas WHERE id = $1::uuid OR seen_at < now() - make_interval(secs => $2)",
    id,
    replicaGoneSeconds,
  );
}

/** What each running replica holds. */
export async function heldByReplicas(prisma: PrismaClient): Promise<string[][]> {
  // By the clock of the database: those of the replicas may differ.
  const rows = await prisma.$queryRawUnsafe<{ held_keys: string[] }[]>(
    "SELECT held_keys FROM replicas WHERE seen_at >= now() - make_interval(secs => $1)",
    replicaGoneSeconds,
  );
  return rows.map(({ held_keys }) => held_keys);
}

/** A factory that is not deleted. */
export async function findFactoryRef(prisma: PrismaClient, name: string): Promise<FactoryRef | undefined> {
  // What no factory can be called is not a question for Postgres, which fails on a NUL.
  if (!FactoryName.safeParse(name).success) return undefined;
  const where = { name, deletedAt: null };
  return (await prisma.factory.findFirst({ select: { id: true, name: true }, where })) ?? undefined;
}
