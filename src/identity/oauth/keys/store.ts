import type { WrappedSigningKey } from "../../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";

/** A signing key as it is stored. `publicKey` is SPKI, DER. */
export type StoredSigningKey = WrappedSigningKey & {
  publicKey: Buffer;
  createdAt: Date;
  /** Set once another signs in its place. */
  verifyUntil: Date | undefined;
};

/** The keys of one purpose that sign or still verify, and the installation's generation in the same snapshot. */
export type SigningKeySnapshot = {
  installationId: string;
  generation: bigint;
  keys: StoredSigningKey[];
};

type Row = {
  installation_id: string;
  generation: bigint;
  id: string | null;
  alg: string;
  public_key: Uint8Array;
  key_encryption_key_id: string;
  wrapped: Uint8Array;
  created_at: Date;
  verify_until: Date | null;
};

/** Newest first. */
export async function readSigningKeys(prisma: PrismaClient, purpose: string): Promise<SigningKeySnapshot> {
  const rows = await prisma.$queryRawUnsafe<Row[]>(
    `/* read-signing-keys */
     SELECT i.id AS installation_id, i.generation, k.id, k.alg, k.public_key, k.key_encryption_key_id, k.wrapped,
            k.created_at, k.verify_until
     FROM installation i LEFT JOIN signing_keys k
       ON k.purpose = $1::text AND (k.verify_until IS NULL OR k.verify_until > now())
     ORDER BY k.created_at DESC, k.id`,
    purpose,
  );
  const [first] = rows;
  if (!first) throw new Error("the database holds no installation");
  return {
    installationId: first.installation_id,
    generation: first.generation,
    keys: rows.flatMap((row) => (row.id === null ? [] : [keyOf(row, row.id, purpose)])),
  };
}

function keyOf(row: Row, id: string, purpose: string): StoredSigningKey {
  return {
    id,
    purpose,
    alg: row.alg,
    publicKey: Buffer.from(row.public_key),
    keyEncryptionKeyId: row.key_encryption_key_id,
    wrapped: Buffer.from(row.wrapped),
    createdAt: row.created_at,
    verifyUntil: row.verify_until ?? undefined,
  };
}

/**
 * Puts a key in the place of the one that signs for its purpose, or in the empty place.
 * @param replaced - the key that is to be replaced, `undefined` for none; a compare-and-set, since of two that rotate at
 * once only one may
 * @returns what was raised, so that every replica notices; `undefined` when another key signs by now
 */
export async function placeSigningKey(
  transaction: Transaction,
  key: WrappedSigningKey & { publicKey: Buffer; createdAt: Date },
  replaced: { id: string; verifyUntil: Date } | undefined,
): Promise<{ id: string; generation: bigint } | undefined> {
  if (replaced) {
    const retired = await transaction.$executeRawUnsafe(
      `UPDATE signing_keys SET verify_until = $3::timestamptz
       WHERE id = $1::text AND purpose = $2::text AND verify_until IS NULL`,
      replaced.id,
      key.purpose,
      replaced.verifyUntil.toISOString(),
    );
    if (retired === 0) return undefined;
  }
  const placed = await transaction.$executeRawUnsafe(
    `INSERT INTO signing_keys (id, purpose, alg, public_key, key_encryption_key_id, wrapped, created_at)
     VALUES ($1::text, $2::text, $3::text, $4::bytea, $5::text, $6::bytea, $7::timestamptz)
     ON CONFLICT (purpose) WHERE verify_until IS NULL DO NOTHING`,
    key.id,
    key.purpose,
    key.alg,
    key.publicKey,
    key.keyEncryptionKeyId,
    key.wrapped,
    key.createdAt.toISOString(),
  );
  if (placed === 0) return undefined;
  const [raised] = await transaction.$queryRawUnsafe<{ id: string; generation: bigint }[]>(
    "UPDATE installation SET generation = generation + 1 RETURNING id, generation",
  );
  return raised;
}

/** Forgets keys whose last token has expired. */
export async function deleteRetiredSigningKeys(prisma: PrismaClient, now: Date): Promise<void> {
  await prisma.signingKey.deleteMany({ where: { verifyUntil: { lt: now } } });
}
