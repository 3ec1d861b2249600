import type { PrismaClient } from "../../db/database.js";
import type { SealedValue } from "../../secrets/open-secret.js";

/** A secret whose value may leave in a job's `/secrets`, at its current version. */
export type FlaggedSecret = { id: string; name: string; version: number };

// One that an entry names is never among them.
const flagged = "s.factory_id = $1::uuid AND s.deliver_to_jobs AND NOT s.named AND s.deleted_at IS NULL";
const current = "JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version";

/** The flagged secrets of a factory as they are now, by name, and how many bytes they are, sealed. */
export async function readFlagged(
  prisma: PrismaClient,
  factoryId: string,
): Promise<{ secrets: FlaggedSecret[]; bytes: number }> {
  const rows = await prisma.$queryRawUnsafe<(FlaggedSecret & { bytes: number })[]>(
    `/* read-flagged */ SELECT s.id, s.name, s.current_version AS version, octet_length(v.ciphertext) AS bytes
     FROM secrets s ${current} WHERE ${flagged} ORDER BY s.name`,
    factoryId,
  );
  const secrets = rows.map(({ id, name, version }) => ({ id, name, version }));
  return { secrets, bytes: rows.reduce((sum, row) => sum + row.bytes, 0) };
}

/** The sealed values of those of these secrets that are as they were: still flagged, and at the same version. */
export async function readSealed(
  prisma: PrismaClient,
  factoryId: string,
  secrets: readonly FlaggedSecret[],
): Promise<Map<string, SealedValue>> {
  const rows = await prisma.$queryRawUnsafe<(SealedValue & { id: string })[]>(
    `/* read-sealed */ SELECT s.id, v.data_key_id AS "dataKeyId", v.ciphertext
     FROM secrets s ${current} JOIN unnest($2::uuid[], $3::int[]) AS wanted(id, version)
       ON wanted.id = s.id AND wanted.version = v.version
     WHERE ${flagged} AND v.destroyed_at IS NULL`,
    factoryId,
    secrets.map(({ id }) => id),
    secrets.map(({ version }) => version),
  );
  return new Map(rows.map(({ id, dataKeyId, ciphertext }) => [id, { dataKeyId, ciphertext: Buffer.from(ciphertext) }]));
}
