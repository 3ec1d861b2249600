import type { WrappedDataKey } from "../../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";

export type AuditKey = { id: string; publicKey: Buffer; wrappedKey: Omit<WrappedDataKey, "purpose"> };

/** The key that signs now, if one was made. */
export async function activeKey(prisma: PrismaClient): Promise<(AuditKey & { createdAt: Date }) | undefined> {
  const row = await prisma.auditKey.findFirst({ where: { state: "active" } });
  if (row === null) return undefined;
  const { id, createdAt, dataKeyId, keyEncryptionKeyId } = row;
  const wrappedKey = { id: dataKeyId, keyEncryptionKeyId, wrapped: Buffer.from(row.wrapped) };
  return { id, createdAt, publicKey: Buffer.from(row.publicKey), wrappedKey };
}

/** @returns false when another was first */
export async function insertKey(transaction: Transaction, { id, publicKey, wrappedKey }: AuditKey): Promise<boolean> {
  const inserted = await transaction.auditKey.createMany({
    data: {
      id,
      publicKey: new Uint8Array(publicKey),
      dataKeyId: wrappedKey.id,
      keyEncryptionKeyId: wrappedKey.keyEncryptionKeyId,
      wrapped: new Uint8Array(wrappedKey.wrapped),
    },
    skipDuplicates: true,
  });
  return inserted.count === 1;
}

/** Lets a key sign no more. @returns false when it did not sign any more already */
export async function retireKey(transaction: Transaction, id: string): Promise<boolean> {
  const retired = await transaction.auditKey.updateMany({ where: { id, state: "active" }, data: { state: "retired" } });
  return retired.count === 1;
}

/** Every public key that ever signed, the oldest first. */
export async function publicKeys(prisma: PrismaClient) {
  const rows = await prisma.auditKey.findMany({
    select: { id: true, state: true, publicKey: true, createdAt: true },
    orderBy: { createdAt: "asc" },
  });
  return rows.map((row) => ({ ...row, publicKey: Buffer.from(row.publicKey) }));
}
