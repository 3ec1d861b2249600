import type { PrismaClient } from "../db/database.js";

/** A key-encryption key as the database knows it: never its bytes. */
export type KnownKey = { id: string; state: string; checkValue: Buffer };

export async function readKnownKeys(prisma: PrismaClient): Promise<KnownKey[]> {
  return (await prisma.keyEncryptionKey.findMany({ orderBy: { createdAt: "asc" } })).map(knownKey);
}

export async function readActiveKey(prisma: PrismaClient): Promise<KnownKey | undefined> {
  const row = await prisma.keyEncryptionKey.findFirst({ where: { state: "active" } });
  return row ? knownKey(row) : undefined;
}

const knownKey = ({ id, state, checkValue }: { id: string; state: string; checkValue: Uint8Array }): KnownKey => ({
  ...{ id, state },
  checkValue: Buffer.from(checkValue),
});

/** How many stored keys are wrapped by this one. */
export async function countWrapped(prisma: PrismaClient, id: string): Promise<number> {
  const row = await prisma.keyEncryptionKey.findUnique({
    select: { _count: { select: { dataKeys: true, signingKeys: true, auditKeys: true } } },
    where: { id },
  });
  return row ? row._count.dataKeys + row._count.signingKeys + row._count.auditKeys : 0;
}

/** Records the first key of an installation. Of several replicas that start at once, the first one's key stands. */
export async function recordFirstKey(
  prisma: PrismaClient,
  key: { id: string; source: string },
  checkValue: Buffer,
): Promise<void> {
  await prisma.$transaction([
    // Two replicas that each bring a key of their own must not both find the table empty. Readers are not kept waiting.
    prisma.$executeRawUnsafe("LOCK TABLE key_encryption_keys IN SHARE ROW EXCLUSIVE MODE"),
    prisma.$executeRawUnsafe(
      `INSERT INTO key_encryption_keys (id, source, state, check_value)
       SELECT $1::text, $2::text, 'active', $3::bytea WHERE NOT EXISTS (SELECT FROM key_encryption_keys)`,
      key.id,
      key.source,
      checkValue,
    ),
  ]);
}
