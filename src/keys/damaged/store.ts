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
 * Puts a data key in the place of another, which is gone for good, or where one is missing; each replica is told.
 * @returns false when the old one is no longer there as it was read, or there is one
 */
export async function takePlace(
  transaction: Transaction,
  factoryId: string,
  old: StoredDataKey | undefined,
  key: WrappedDataKey,
): Promise<boolean> {
  const { id, purpose, keyEncryptionKeyId, wrapped } = key;
  if (!(await (old ? makeRoom(transaction, factoryId, old) : isMissing(transaction, factoryId, purpose)))) return false;
  await transaction.dataKey.create({
    data: { id, factoryId, purpose, keyEncryptionKeyId, wrapped: new Uint8Array(wrapped) },
  });
  await transaction.$executeRawUnsafe("SELECT pg_notify('factory_secrets_data_keys', $1)", factoryId);
  return true;
}

async function makeRoom(transaction: Transaction, factoryId: string, { id, wrapped }: StoredDataKey): Promise<boolean> {
  const where = { id, factoryId, wrapped: new Uint8Array(wrapped) };
  return (await transaction.dataKey.deleteMany({ where })).count > 0;
}

// Who deletes the factory erases its versions before its data keys: so with writers held, it is done or has to wait.
async function isMissing(transaction: Transaction, factoryId: string, purpose: string): Promise<boolean> {
  const none = { purpose, state: "active" };
  return (await transaction.factory.count({ where: { id: factoryId, deletedAt: null, dataKeys: { none } } })) > 0;
}

/** Empties every fingerprint of a factory, also those of deleted secrets. @returns how many there were */
export function forgetFingerprints(transaction: Transaction, factoryId: string): Promise<number> {
  return transaction.$executeRawUnsafe(
    `/* forget-fingerprints */ UPDATE secret_versions v SET fingerprint = ''
     FROM secrets s WHERE s.id = v.secret_id AND s.factory_id = $1::uuid AND length(v.fingerprint) > 0`,
    factoryId,
  );
}
