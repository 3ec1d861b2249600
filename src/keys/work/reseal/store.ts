import type { WrappedDataKey } from "../../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";

/** A version as it is stored. Of a destroyed one nothing is left to seal. */
export type SealedVersion = {
  secretId: string;
  secret: string;
  version: number;
  dataKeyId: string;
  ciphertext: Buffer;
  isDestroyed: boolean;
  /** Its secret can be undeleted, and a newer one may have its name. */
  isDeleted: boolean;
};

export type Position = { secretId: string; version: number };

export type ResealedVersion = { was: SealedVersion; ciphertext: Buffer };

/** Locks a factory that is not deleted until the transaction ends. */
export async function lockFactory(transaction: Transaction, id: string): Promise<boolean> {
  const rows = await transaction.$queryRawUnsafe<unknown[]>(
    "SELECT id FROM factories WHERE id = $1::uuid AND deleted_at IS NULL FOR UPDATE",
    id,
  );
  return rows.length === 1;
}

/** Whether a data key waits to be replaced: an earlier exchange did not come to its end. */
export async function hasRetiredDataKey(prisma: PrismaClient | Transaction, factoryId: string): Promise<boolean> {
  return (await prisma.dataKey.count({ where: { factoryId, purpose: "secret", state: "retired" } })) > 0;
}

/** New values are sealed under this key from now on; each replica is told. */
export async function placeDataKey(transaction: Transaction, factoryId: string, key: WrappedDataKey): Promise<void> {
  await transaction.dataKey.updateMany({
    where: { factoryId, purpose: key.purpose, state: "active" },
    data: { state: "retired" },
  });
  await transaction.dataKey.create({
    data: {
      id: key.id,
      factoryId,
      purpose: key.purpose,
      keyEncryptionKeyId: key.keyEncryptionKeyId,
      wrapped: new Uint8Array(key.wrapped),
    },
  });
  await transaction.$executeRawUnsafe("SELECT pg_notify('factory_secrets_data_keys', $1)", factoryId);
}

/** Makes this the data key of its purpose, unless the factory has one. Called with the factory locked. */
export async function placeMissing(transaction: Transaction, factoryId: string, key: WrappedDataKey): Promise<void> {
  const active = { factoryId, purpose: key.purpose, state: "active" };
  if ((await transaction.dataKey.count({ where: active })) === 0) await placeDataKey(transaction, factoryId, key);
}

const sealedElsewhere = `secrets s JOIN secret_versions v ON v.secret_id = s.id
  JOIN data_keys k ON k.id = v.data_key_id WHERE s.factory_id = $1::uuid AND k.state = 'retired'`;

/** How many versions of a factory are sealed under a data key that was replaced. */
export async function countSealedBefore(prisma: PrismaClient, factoryId: string): Promise<number> {
  const [row] = await prisma.$queryRawUnsafe<{ count: number }[]>(
    `SELECT count(*)::int AS count FROM ${sealedElsewhere}`,
    factoryId,
  );
  return row?.count ?? 0;
}

/** Some of those versions, also of deleted secrets, in order from the one after `after`. */
export async function readSealedBefore(
  prisma: PrismaClient,
  factoryId: string,
  { after, limit }: { after: Position | undefined; limit: number },
): Promise<SealedVersion[]> {
  const rows = await prisma.$queryRawUnsafe<
    {
      secret_id: string;
      name: string;
      version: number;
      data_key_id: string;
      ciphertext: Uint8Array;
      destroyed: boolean;
      deleted: boolean;
    }[]
  >(
    `SELECT v.secret_id, s.name, v.version, v.data_key_id, v.ciphertext, v.destroyed_at IS NOT NULL AS destroyed,
       s.deleted_at IS NOT NULL AS deleted
     FROM ${sealedElsewhere} AND (v.secret_id, v.version) > ($2::uuid, $3::int)
     ORDER BY v.secret_id, v.version LIMIT $4`,
    factoryId,
    after?.secretId ?? "00000000-0000-0000-0000-000000000000",
    after?.version ?? 0,
    limit,
  );
  return rows.map((row) => ({
    secretId: row.secret_id,
    secret: row.name,
    version: row.version,
    dataKeyId: row.data_key_id,
    ciphertext: Buffer.from(row.ciphertext),
    isDestroyed: row.destroyed,
    isDeleted: row.deleted,
  }));
}

/**
 * Puts ciphertexts in the place of those that they were read as. Rows that others hold are left for later: so this waits
 * for no one, and closes no circle with who writes secrets. A version that was destroyed in the meantime stays empty.
 * @returns how many were put
 */
export async function replaceSealed(
  prisma: PrismaClient,
  dataKeyId: string,
  versions: readonly ResealedVersion[],
): Promise<number> {
  const rows = versions.map(({ was, ciphertext }) => ({
    secret_id: was.secretId,
    version: was.version,
    was: was.ciphertext.toString("base64"),
    ciphertext: ciphertext.toString("base64"),
  }));
  return prisma.$executeRawUnsafe(
    `/* replace-sealed */ WITH row AS MATERIALIZED (
       SELECT * FROM jsonb_to_recordset($2::jsonb) AS row(secret_id uuid, version int, was text, ciphertext text)
     ), held AS MATERIALIZED (
       SELECT v.secret_id, v.version, row.ciphertext FROM secret_versions v JOIN row USING (secret_id, version)
       WHERE v.ciphertext = decode(row.was, 'base64') FOR UPDATE OF v SKIP LOCKED
     )
     UPDATE secret_versions v SET data_key_id = $1::uuid, ciphertext = decode(held.ciphertext, 'base64')
     FROM held WHERE v.secret_id = held.secret_id AND v.version = held.version`,
    dataKeyId,
    JSON.stringify(rows),
  );
}

/** @throws foreign key violation (23503, 23001) while a version is sealed under one of them */
export async function deleteRetiredDataKeys(transaction: Transaction, factoryId: string): Promise<void> {
  await transaction.dataKey.deleteMany({ where: { factoryId, purpose: "secret", state: "retired" } });
}

/** The name of a factory, also of one that was deleted. */
export async function factoryName(prisma: PrismaClient | Transaction, id: string): Promise<string> {
  return (await prisma.factory.findUnique({ select: { name: true }, where: { id } }))?.name ?? "";
}
