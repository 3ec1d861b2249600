import type { PrismaClient } from "../../db/database.js";
import type { SealedValue } from "../../secrets/open-secret.js";

/** A secret whose current version may leave in a job's `/secrets`. */
export type FlaggedSecret = { id: string; name: string; version: number };

// The version is asked, not the secret: what is current is flagged itself. One that an entry names is never among them.
const flagged = `FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
  WHERE s.factory_id = $1::uuid AND s.deleted_at IS NULL AND NOT s.named AND v.deliver_to_jobs AND v.destroyed_at IS NULL`;

/** The flagged secrets of a factory as they are now, by name, and how many bytes they are, sealed. */
export async function readFlagged(
  prisma: PrismaClient,
  factoryId: string,
): Promise<{ secrets: FlaggedSecret[]; bytes: number }> {
  const rows = await prisma.$queryRawUnsafe<(FlaggedSecret & { bytes: number })[]>(
    `/* read-flagged */ SELECT s.id, s.name, s.current_version AS version, octet_length(v.ciphertext) AS bytes
     ${flagged} ORDER BY s.name`,
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
     ${flagged} AND (s.id, v.version) IN (SELECT * FROM unnest($2::uuid[], $3::int[]))`,
    factoryId,
    secrets.map(({ id }) => id),
    secrets.map(({ version }) => version),
  );
  return new Map(rows.map(({ id, dataKeyId, ciphertext }) => [id, { dataKeyId, ciphertext: Buffer.from(ciphertext) }]));
}
