import type { WrappedSigningKey } from "../../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";

/** A signing key as it is stored. `publicKey` is SPKI, DER. */
export type StoredSigningKey = WrappedSigningKey & {
  publicKey: Buffer;
  createdAt: Date;
  /** Set once another signs in its place, and while it waits for its turn. */
  verifyUntil: Date | undefined;
  /** When it begins to sign, as long as it waits for that. */
  signsFrom: Date | undefined;
};

/** The installation, at the generation that a change of its keys has raised. */
export type Raised = { id: string; generation: bigint };

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
  signs_from: Date | null;
};

/** Newest first. */
export async function readSigningKeys(prisma: PrismaClient, purpose: string): Promise<SigningKeySnapshot> {
  const rows = await prisma.$queryRawUnsafe<Row[]>(
    `/* read-signing-keys */
     SELECT i.id AS installation_id, i.generation, k.id, k.alg, k.public_key, k.key_encryption_key_id, k.wrapped,
            k.created_at, k.verify_until, k.signs_from
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
    signsFrom: row.signs_from ?? undefined,
  };
}

type NewKey = WrappedSigningKey & { publicKey: Buffer; createdAt: Date };

/**
 * Puts a key in the place of the one that signs for its purpose, or in the empty place.
 * @param replaced - the key that is to be replaced, `undefined` for none; a compare-and-set, since of two that rotate at
 * once only one may
 * @returns what was raised, so that every replica notices; `undefined` when another key signs by now
 */
export async function placeSigningKey(
  transaction: Transaction,
  key: NewKey,
  replaced: { id: string; verifyUntil: Date } | undefined,
): Promise<Raised | undefined> {
  if (replaced && !(await retire(transaction, key.purpose, replaced))) return undefined;
  const placed = await transaction.$executeRawUnsafe(
    `INSERT INTO signing_keys (id, purpose, alg, public_key, key_encryption_key_id, wrapped, created_at)
     VALUES ($1::text, $2::text, $3::text, $4::bytea, $5::text, $6::bytea, $7::timestamptz)
     ON CONFLICT (purpose) WHERE verify_until IS NULL DO NOTHING`,
    ...columnsOf(key),
  );
  return placed === 0 ? undefined : raise(transaction);
}

/** Stores a key that waits for its turn. @returns `undefined` when another of its purpose does */
export async function announceSigningKey(
  transaction: Transaction,
  key: NewKey & { signsFrom: Date; verifyUntil: Date },
): Promise<Raised | undefined> {
  const placed = await transaction.$executeRawUnsafe(
    `INSERT INTO signing_keys (id, purpose, alg, public_key, key_encryption_key_id, wrapped, created_at,
                               signs_from, verify_until)
     VALUES ($1::text, $2::text, $3::text, $4::bytea, $5::text, $6::bytea, $7::timestamptz,
             $8::timestamptz, $9::timestamptz)
     ON CONFLICT (purpose) WHERE signs_from IS NOT NULL DO NOTHING`,
    ...columnsOf(key),
    key.signsFrom.toISOString(),
    key.verifyUntil.toISOString(),
  );
  return placed === 0 ? undefined : raise(transaction);
}

/**
 * Lets the key that waits sign in the place of another.
 * @returns `undefined`, and nothing is changed, when one of the two is no longer what it was
 */
export async function promoteSigningKey(
  transaction: Transaction,
  purpose: string,
  waitingId: string,
  replaced: { id: string; verifyUntil: Date },
  now: Date,
): Promise<Raised | undefined> {
  // Anyone who rotates at the same time waits for this row, and then finds that it waits no more.
  const held = await transaction.$queryRawUnsafe<unknown[]>(
    `SELECT id FROM signing_keys
     WHERE id = $1::text AND purpose = $2::text AND signs_from <= $3::timestamptz FOR UPDATE`,
    waitingId,
    purpose,
    now.toISOString(),
  );
  if (held.length === 0 || !(await retire(transaction, purpose, replaced))) return undefined;
  await transaction.$executeRawUnsafe(
    "UPDATE signing_keys SET verify_until = NULL, signs_from = NULL WHERE id = $1::text",
    waitingId,
  );
  return raise(transaction);
}

/** Takes away the key of a purpose that waits for its turn, if there is one. */
export async function dropAnnouncedKey(transaction: Transaction, purpose: string): Promise<void> {
  await transaction.signingKey.deleteMany({ where: { purpose, signsFrom: { not: null } } });
}

function columnsOf(key: NewKey) {
  const { id, purpose, alg, publicKey, keyEncryptionKeyId, wrapped, createdAt } = key;
  return [id, purpose, alg, publicKey, keyEncryptionKeyId, wrapped, createdAt.toISOString()];
}

/** @returns whether it was the one that signs */
async function retire(
  transaction: Transaction,
  purpose: string,
  { id, verifyUntil }: { id: string; verifyUntil: Date },
): Promise<boolean> {
  const retired = await transaction.$executeRawUnsafe(
    `UPDATE signing_keys SET verify_until = $3::timestamptz
     WHERE id = $1::text AND purpose = $2::text AND verify_until IS NULL`,
    id,
    purpose,
    verifyUntil.toISOString(),
  );
  return retired > 0;
}

async function raise(transaction: Transaction): Promise<Raised | undefined> {
  const [raised] = await transaction.$queryRawUnsafe<Raised[]>(
    "UPDATE installation SET generation = generation + 1 RETURNING id, generation",
  );
  return raised;
}

/** Forgets keys whose last token has expired. */
export async function deleteRetiredSigningKeys(prisma: PrismaClient): Promise<void> {
  await prisma.$executeRawUnsafe("DELETE FROM signing_keys WHERE verify_until < now()");
}
