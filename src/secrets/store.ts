import { auditInsert, auditRecordset, auditSelect } from "../audit/record.js";
import { dataKeyPurposeOf } from "../crypto/envelope.js";
import type { WrappedDataKey } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import type { PageStart } from "../http/page.js";
import { withDeliverability } from "./delivery/store.js";
import type { ChangeSet, SecretHead, SecretLimits } from "./secret-change.js";

const change =
  "set int, factory_id uuid, op text, secret_id uuid, name text, version int, if_version int, if_destroyed int, forced bool, purged bool, data_key_id uuid, ciphertext text, fingerprint text, fingerprint_key_id uuid, restored_from int, description text, expires_at timestamptz, judged bool, deliver_to_jobs bool, if_deliver_to_jobs bool, at timestamptz, actor_kind text, actor_id text, actor_name text";

// Several sets of changes, each made whole or not at all, in one round trip. `locked` holds the changes whose secret is
// still as the writer saw it, with its row locked: a set that misses one is not `ready`, and nothing of it is done. A
// secret that comes or goes is counted in the factory's row; one that an entry names can change a token answer: then the
// generation is raised, under the lock that a publisher of configs takes too. Such a set is done only when it is alone in
// the statement. All others touch no shared row, and do not queue. A staged version moves no pointer. What is current, or was before,
// outlives the count of versions to keep, which is read without a lock. A deletion leaves its versions, unless it purges.
// Whether a new version may be delivered to jobs was judged by what the current one says, so that is compared too.
// A value that the writer has not judged by the entries which name its secret, since it knew of none, waits for that.
// `fingerprinting` are the keys of the fingerprints that are still there: one made with another could be compared with none.
const writeStatement = `/* write-secrets */ WITH change AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS change(${change})
  ), locked AS MATERIALIZED (
    SELECT s.id, s.named, s.current_version, s.previous_version, s.expires_at
    FROM secrets s JOIN change ON change.secret_id = s.id
      JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
    WHERE change.op <> 'create' AND s.factory_id = change.factory_id AND s.deleted_at IS NULL
      AND s.next_version = change.version AND (change.if_version IS NULL OR s.current_version = change.if_version)
      AND (change.if_destroyed IS NULL OR s.destroyed_versions = change.if_destroyed)
      AND NOT (s.named AND change.op = 'delete' AND NOT change.forced)
      AND (change.if_deliver_to_jobs IS NULL OR v.deliver_to_jobs = change.if_deliver_to_jobs)
      AND NOT (s.named AND change.deliver_to_jobs)
      AND NOT (s.named AND change.op = 'update' AND NOT change.judged)
    ORDER BY s.id FOR UPDATE OF s
  ), fingerprinting AS MATERIALIZED (
    SELECT k.id FROM data_keys k WHERE k.id IN (SELECT change.fingerprint_key_id FROM change)
  ), ready AS MATERIALIZED (
    SELECT change.set, change.factory_id, bool_or(change.op IN ('create', 'delete') OR change.op = 'update' AND locked.named) AS takes_factory,
           bool_or(change.op IN ('update', 'delete') AND COALESCE(locked.named, false)) AS renews,
           COALESCE(array_agg(change.name) FILTER (WHERE change.op = 'create'), '{}') AS names,
           COALESCE(array_agg(change.name) FILTER (WHERE change.op = 'create' AND NOT change.judged), '{}') AS unjudged,
           (count(*) FILTER (WHERE op = 'create') - count(*) FILTER (WHERE op = 'delete'))::int AS added
    FROM change LEFT JOIN locked ON locked.id = change.secret_id
         LEFT JOIN fingerprinting ON fingerprinting.id = change.fingerprint_key_id
    GROUP BY change.set, change.factory_id HAVING bool_and(change.op = 'create' OR locked.id IS NOT NULL)
      AND bool_and(change.fingerprint_key_id IS NULL OR fingerprinting.id IS NOT NULL)
  ), factory AS (
    UPDATE factories f SET secret_count = f.secret_count + ready.added,
           generation = f.generation + CASE WHEN ready.renews OR ready.names && f.named_secrets THEN 1 ELSE 0 END FROM ready
    WHERE $2::bool AND ready.takes_factory AND f.id = ready.factory_id AND f.deleted_at IS NULL
      AND NOT ready.unjudged && f.named_secrets
      AND (ready.added <= 0 OR f.secret_count + ready.added <= $3::int)
    RETURNING f.id, f.named_secrets
  ), go AS MATERIALIZED (
    SELECT set FROM ready WHERE NOT takes_factory OR EXISTS (SELECT FROM factory)
  ), created AS (
    INSERT INTO secrets (id, factory_id, name, current_version, next_version, named, deliver_to_jobs, description, expires_at, created_at, updated_at, current_since)
    SELECT change.secret_id, factory.id, change.name, 1, 2, change.name = ANY (factory.named_secrets),
           change.deliver_to_jobs, change.description, change.expires_at, change.at, change.at, change.at
    FROM change, factory WHERE change.op = 'create'
  ), changed AS (
    UPDATE secrets s SET
           current_version = CASE change.op WHEN 'update' THEN change.version ELSE s.current_version END,
           previous_version = CASE change.op WHEN 'update' THEN s.current_version ELSE s.previous_version END,
           current_since = CASE change.op WHEN 'update' THEN change.at ELSE s.current_since END,
           expires_at = CASE WHEN change.op = 'update' AND (change.restored_from IS NOT NULL OR change.expires_at IS NOT NULL)
                        THEN change.expires_at ELSE s.expires_at END,
           next_version = CASE change.op WHEN 'delete' THEN s.next_version ELSE change.version + 1 END,
           deleted_at = CASE change.op WHEN 'delete' THEN change.at END, named = s.named AND change.op <> 'delete',
           description = COALESCE(change.description, s.description),
           deliver_to_jobs = CASE change.op WHEN 'update' THEN change.deliver_to_jobs ELSE s.deliver_to_jobs END, updated_at = change.at
    FROM change JOIN go USING (set) WHERE change.op <> 'create' AND s.id = change.secret_id
  ), sealed AS (
    INSERT INTO secret_versions (secret_id, version, data_key_id, ciphertext, fingerprint, staged, deliver_to_jobs, restored_from, expires_at, created_at, created_by_kind, created_by_id, created_by_name)
    SELECT change.secret_id, change.version, change.data_key_id, decode(change.ciphertext, 'base64'),
           decode(change.fingerprint, 'base64'), change.op = 'stage', change.deliver_to_jobs, change.restored_from,
           CASE WHEN change.op = 'stage' OR change.restored_from IS NOT NULL THEN change.expires_at
                ELSE COALESCE(change.expires_at, locked.expires_at) END,
           change.at, change.actor_kind, change.actor_id, change.actor_name
    FROM change JOIN go USING (set) LEFT JOIN locked ON locked.id = change.secret_id WHERE change.op <> 'delete'
  ), pruned AS (
    DELETE FROM secret_versions v USING change JOIN go USING (set) JOIN locked ON locked.id = change.secret_id
    WHERE (change.op <> 'delete' OR change.purged) AND v.secret_id = change.secret_id
      AND v.version <= change.version - CASE WHEN change.purged THEN 0 ELSE (SELECT f.keep_versions FROM factories f WHERE f.id = change.factory_id) END
      AND (change.purged OR v.version <> locked.current_version AND v.destroyed_at IS NULL
           AND NOT (change.op = 'stage' AND v.version = COALESCE(locked.previous_version, 0)))
  ), audited AS (
    ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($4::jsonb) AS row(set int, ${auditRecordset}) JOIN go USING (set)
  )
  SELECT set FROM go`;

/**
 * Writes several sets of changes in one statement, each whole or not at all.
 * @returns for each set, whether it was written: not when one of its secrets is no longer as the writer saw it, when the
 *   factory has no room or another key of its fingerprints, or when it changes token answers and is not alone
 * @throws unique violation (23505) when a name to create has come to be meanwhile: then nothing was written
 */
export async function writeChangeSets(
  prisma: PrismaClient,
  limits: SecretLimits,
  sets: readonly ChangeSet[],
): Promise<boolean[]> {
  const changes = sets.flatMap(({ factoryId, at, actor, changes }, set) =>
    changes.map((change) => ({
      ...change,
      set,
      factory_id: factoryId,
      at: at.toISOString(),
      actor_kind: actor.kind,
      actor_id: actor.id,
      actor_name: actor.name,
    })),
  );
  const rows = await prisma.$queryRawUnsafe<{ set: number }[]>(
    writeStatement,
    JSON.stringify(changes),
    sets.length === 1,
    limits.maxSecrets,
    JSON.stringify(sets.flatMap(({ audit }, set) => audit.map((row) => ({ ...row, set })))),
  );
  const written = new Set(rows.map(({ set }) => set));
  return sets.map((_, set) => written.has(set));
}

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
