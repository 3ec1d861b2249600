import type { PrismaClient } from "../../db/database.js";

/** One caller's use of one version. */
export type UseRow = {
  secret_id: string;
  version: number;
  actor_kind: string;
  actor_id: string;
  actor_name: string;
  last_used_at: string;
  tokens_until: string;
};

/** Writes what was counted. In the order of their keys, so that replicas that do so at once wait for each other in turn. */
export async function writeUses(prisma: PrismaClient, rows: readonly UseRow[]): Promise<void> {
  await prisma.$executeRawUnsafe(
    `/* write-secret-uses */
     INSERT INTO secret_uses (secret_id, version, actor_kind, actor_id, actor_name, last_used_at, tokens_until)
     SELECT secret_id, version, actor_kind, actor_id, actor_name, last_used_at, tokens_until
     FROM jsonb_to_recordset($1::jsonb) AS row(secret_id uuid, version int, actor_kind text, actor_id text,
       actor_name text, last_used_at timestamptz, tokens_until timestamptz)
     ORDER BY secret_id, version, actor_kind, actor_id
     ON CONFLICT (secret_id, version, actor_kind, actor_id) DO UPDATE SET actor_name = EXCLUDED.actor_name,
       last_used_at = GREATEST(secret_uses.last_used_at, EXCLUDED.last_used_at),
       tokens_until = GREATEST(secret_uses.tokens_until, EXCLUDED.tokens_until)`,
    JSON.stringify(rows),
  );
}

/** Forgets uses that were over `keepSeconds` ago. */
export async function deleteOldUses(prisma: PrismaClient, keepSeconds: number): Promise<void> {
  await prisma.$executeRawUnsafe(
    `DELETE FROM secret_uses WHERE last_used_at < now() - make_interval(secs => $1::float8)
       AND tokens_until < now() - make_interval(secs => $1::float8)`,
    keepSeconds,
  );
}

/** Who used which version of a secret, latest first. */
export async function listUses(prisma: PrismaClient, secretId: string, most: number) {
  return prisma.secretUse.findMany({
    where: { secretId },
    orderBy: [{ lastUsedAt: "desc" }, { actorId: "asc" }, { version: "desc" }],
    take: most,
  });
}

/** A secret as the rotation report shows it. */
export type RotationRow = {
  name: string;
  version: number;
  created_at: Date;
  rotated_at: Date;
  expires_at: Date | null;
  named: boolean;
  staged: number;
  last_used_at: Date | null;
  older_last_used_at: Date | null;
  older_tokens_until: Date | null;
};

/** All secrets of a factory, by name, or the one of this id. */
export async function readRotation(
  prisma: PrismaClient,
  factoryId: string,
  secretId: string | undefined,
): Promise<RotationRow[]> {
  return prisma.$queryRawUnsafe<RotationRow[]>(
    `SELECT s.name, s.current_version AS version, s.created_at, s.expires_at, s.named,
       COALESCE(current.current_from, s.current_since, current.created_at, s.updated_at) AS rotated_at,
       (SELECT count(*)::int FROM secret_versions v WHERE v.secret_id = s.id AND v.staged) AS staged,
       used.last_used_at, used.older_last_used_at, used.older_tokens_until
     FROM secrets s
     LEFT JOIN secret_versions current ON current.secret_id = s.id AND current.version = s.current_version
     LEFT JOIN LATERAL (
       SELECT max(u.last_used_at) AS last_used_at,
              max(u.last_used_at) FILTER (WHERE u.version <> s.current_version) AS older_last_used_at,
              max(u.tokens_until) FILTER (WHERE u.version <> s.current_version) AS older_tokens_until
       FROM secret_uses u WHERE u.secret_id = s.id
     ) used ON true
     WHERE s.factory_id = $1::uuid AND s.deleted_at IS NULL AND ($2::uuid IS NULL OR s.id = $2::uuid)
     ORDER BY s.name COLLATE "C"`,
    factoryId,
    secretId ?? null,
  );
}
