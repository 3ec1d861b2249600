import type { PrismaClient } from "../../db/database.js";

/** The keyed fingerprint of the current version of a secret, in one snapshot. */
export async function currentFingerprint(
  prisma: PrismaClient,
  factoryId: string,
  name: string,
): Promise<{ version: number; fingerprint: Uint8Array } | undefined> {
  const rows = await prisma.$queryRawUnsafe<{ version: number; fingerprint: Uint8Array }[]>(
    `SELECT v.version, v.fingerprint FROM secrets s
     JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
     WHERE s.factory_id = $1::uuid AND s.name = $2::text AND s.deleted_at IS NULL`,
    factoryId,
    name,
  );
  return rows[0];
}
