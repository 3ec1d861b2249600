import { dataKeyPurposeOf } from "../crypto/envelope.js";
import type { WrappedDataKey } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import type { PageStart } from "../http/page.js";
import { withDeliverability } from "./delivery.js";
import type { SecretHead } from "./write-statement.js";

/** The secrets of these names, as they are now, and how many the factory has: `undefined` when it is gone. */
export async function readHeads(
  prisma: PrismaClient,
  factoryId: string,
  names: readonly string[],
): Promise<{ heads: SecretHead[]; secretCount: number | undefined }> {
  const [heads, factory] = await Promise.all([
    prisma.$queryRawUnsafe<SecretHead[]>(
      `/* secret-heads */ SELECT s.id, s.name, s.current_version AS "currentVersion", s.next_version AS "nextVersion",
         s.destroyed_versions AS "destroyedVersions", s.named, v.deliver_to_jobs AS "deliverToJobs"
       FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
       WHERE s.factory_id = $1::uuid AND s.name = ANY ($2::text[]) AND s.deleted_at IS NULL`,
      factoryId,
      [...names],
    ),
    prisma.factory.findUnique({ select: { secretCount: true }, where: { id: factoryId, deletedAt: null } }),
  ]);
  return { heads, secretCount: factory?.secretCount };
}

const shown = {
  id: true,
  name: true,
  currentVersion: true,
  description: true,
  expiresAt: true,
  named: true,
  createdAt: true,
  updatedAt: true,
} as const;

// Prisma makes LIKE of startsWith and escapes nothing: unescaped, the "_" that most names hold would match anything.
const likeItself = (text: string): string => text.replace(/[\\%_]/g, "\\$&");

/** Metadata by name; one row more than `pageSize`. */
export async function listSecrets(
  prisma: PrismaClient,
  input: { factoryId: string; prefix: string | undefined; page: PageStart },
) {
  const [after] = input.page.after ?? [];
  const rows = await prisma.secret.findMany({
    select: shown,
    where: {
      factoryId: input.factoryId,
      deletedAt: null,
      AND: [
        input.prefix ? { name: { startsWith: likeItself(input.prefix) } } : {},
        after === undefined ? {} : { name: { gt: after } },
      ],
    },
    orderBy: { name: "asc" },
    take: input.page.size + 1,
  });
  return withDeliverability(prisma, rows);
}

export async function findSecret(prisma: PrismaClient, factoryId: string, name: string) {
  const row = await prisma.secret.findFirst({ select: shown, where: { factoryId, name, deletedAt: null } });
  return row && (await withDeliverability(prisma, [row]))[0];
}

/** Every name of a factory, in order. A factory has few enough of them (`maxSecrets`). */
export async function listNames(prisma: PrismaClient, factoryId: string): Promise<string[]> {
  const rows = await prisma.secret.findMany({
    select: { name: true },
    where: { factoryId, deletedAt: null },
    orderBy: { name: "asc" },
  });
  return rows.map((row) => row.name);
}

/** The sealed bytes of one version, from the row that the caller was authorised for. */
export async function findCiphertext(
  prisma: PrismaClient,
  place: { factoryId: string; secretId: string; version: number },
): Promise<{ dataKeyId: string; ciphertext: Buffer } | undefined> {
  const row = await prisma.secretVersion.findFirst({
    select: { dataKeyId: true, ciphertext: true },
    where: {
      secretId: place.secretId,
      version: place.version,
      destroyedAt: null,
      secret: { factoryId: place.factoryId, deletedAt: null },
    },
  });
  return row ? { dataKeyId: row.dataKeyId, ciphertext: Buffer.from(row.ciphertext) } : undefined;
}

/** Adds a data key to a factory that lives, unless it has one of this purpose that is meant to be the only one. */
export async function insertDataKey(prisma: PrismaClient, factoryId: string, key: WrappedDataKey): Promise<void> {
  await prisma.$executeRawUnsafe(
    `/* insert-data-key */ INSERT INTO data_keys (id, factory_id, purpose, key_encryption_key_id, wrapped)
     SELECT $1::uuid, f.id, $3, $4, $5
     FROM (SELECT id FROM factories WHERE id = $2::uuid AND deleted_at IS NULL FOR SHARE) AS f
     ON CONFLICT DO NOTHING`,
    key.id,
    factoryId,
    key.purpose,
    key.keyEncryptionKeyId,
    key.wrapped,
  );
}

export async function factoryLives(prisma: PrismaClient, id: string): Promise<boolean> {
  return (await prisma.factory.count({ where: { id, deletedAt: null } })) > 0;
}

/** The id of the key that AWS-shaped keys are derived from, or `undefined` when the factory has none. */
export async function readAwsKeysId(prisma: PrismaClient, factoryId: string): Promise<string | undefined> {
  // The purpose is written out: only so the index of just these keys can be used.
  const rows = await prisma.$queryRawUnsafe<{ id: string }[]>(
    "/* aws-keys-id */ SELECT id FROM data_keys WHERE factory_id = $1::uuid AND purpose = 'aws-keys' AND state = 'active'",
    factoryId,
  );
  return rows[0]?.id;
}

/** The data keys of a factory, wrapped, the active ones first. */
export async function readDataKeys(prisma: PrismaClient, factoryId: string): Promise<WrappedDataKey[]> {
  const rows = await prisma.dataKey.findMany({
    where: { factoryId },
    orderBy: [{ state: "asc" }, { createdAt: "desc" }],
  });
  return rows.map((row) => ({
    id: row.id,
    purpose: dataKeyPurposeOf(row.purpose),
    keyEncryptionKeyId: row.keyEncryptionKeyId,
    wrapped: Buffer.from(row.wrapped),
  }));
}
