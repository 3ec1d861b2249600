import type { PrismaClient } from "../../db/database.js";

/** The keyed fingerprint of the current version of a secret, and the key of the fingerprints, in one snapshot. */
export async function currentFingerprint(
  prisma: PrismaClient,
  factoryId: string,
  name: string,
): Promise<{ version: number; fingerprint: Uint8Array; keyId: string | null } | undefined> {
  const rows = await prisma.$queryRawUnsafe<{ version: number; fingerprint: Uint8Array; key_id: string | null }[]>(
    `SELECT v.version, v.fingerprint, k.id::text AS key_id FROM secrets s
     LEFT JOIN data_keys k ON k.factory_id = s.factory_id AND k.purpose = 'fingerprint' AND k.state = 'active'
     JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
     WHERE s.factory_id = $1::uuid AND s.name = $2::text AND s.deleted_at IS NULL`,
    factoryId,
    name,
  );
  const [row] = rows;
  return row && { version: row.version, fingerprint: row.fingerprint, keyId: row.key_id };
}
