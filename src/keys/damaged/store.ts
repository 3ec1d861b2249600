import { dataKeyPurposeOf } from "../../crypto/envelope.js";
import type { WrappedDataKey } from "../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../db/database.js";

export type StoredDataKey = WrappedDataKey & { isActive: boolean };

/** The data keys of a factory, whatever their state. */
export async function readDataKeysOf(prisma: PrismaClient, factoryId: string): Promise<StoredDataKey[]> {
  const rows = await prisma.dataKey.findMany({ where: { factoryId }, orderBy: { createdAt: "asc" } });
  return rows.map((row) => ({
    id: row.id,
    purpose: dataKeyPurposeOf(row.purpose),
    keyEncryptionKeyId: row.keyEncryptionKeyId,
    wrapped: Buffer.from(row.wrapped),
    isActive: row.state === "active",
  }));
}

/**
 * Waits until those who write versions of secrets are done, and keeps others from it until the transaction ends: they look
 * then whether the key that they made their fingerprints with is still there. So the writers themselves hold nothing.
 */
export async function holdWriters(transaction: Transaction): Promise<void> {
  await transaction.$executeRawUnsafe("LOCK TABLE secret_versions IN SHARE ROW EXCLUSIVE MODE");
}

/**
 * Puts a data key in the place of another, which is gone for good; each replica is told.
 * @returns false when the old one is no longer there as it was read
 */
export async function takePlace(
  transaction: Transaction,
  factoryId: string,
  old: StoredDataKey,
  key: WrappedDataKey,
): Promise<boolean> {
  const { count } = await transaction.dataKey.deleteMany({
    where: { id: old.id, factoryId, wrapped: new Uint8Array(old.wrapped) },
  });
  if (count === 0) return false;
  const { id, purpose, keyEncryptionKeyId, wrapped } = key;
  await transaction.dataKey.create({
    data: { id, factoryId, purpose, keyEncryptionKeyId, wrapped: new Uint8Array(wrapped) },
  });
  await transaction.$executeRawUnsafe("SELECT pg_notify('factory_secrets_data_keys', $1)", factoryId);
  return true;
}

/** Empties every fingerprint of a factory, also those of deleted secrets. @returns how many there were */
export function forgetFingerprints(transaction: Transaction, factoryId: string): Promise<number> {
  return transaction.$executeRawUnsafe(
    `/* forget-fingerprints */ UPDATE secret_versions v SET fingerprint = ''
     FROM secrets s WHERE s.id = v.secret_id AND s.factory_id = $1::uuid AND length(v.fingerprint) > 0`,
    factoryId,
  );
}
