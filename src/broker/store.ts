import { credentialStands, isDenied } from "../audit/record.js";
import type { Standing } from "../core/caller.js";
import type { PrismaClient } from "../db/database.js";

/** All that decides a token answer, read in one snapshot. */
export type FactsRow = {
  generation: bigint;
  config_version: number | null;
  /** Absent when the caller said that it has this version parsed. */
  document: Uint8Array | null;
  secrets: { id: string; name: string; version: number }[] | null;
  destinations: { secret: string; type: string; host: string }[] | null;
};

/** The facts of a factory, or `undefined` when it is gone. */
export async function readFacts(
  prisma: PrismaClient,
  factoryId: string,
  parsedVersion: number | undefined,
): Promise<FactsRow | undefined> {
  const rows = await prisma.$queryRawUnsafe<FactsRow[]>(
    `/* broker-facts */ SELECT f.generation, f.config_version,
       (SELECT document FROM config_versions c
        WHERE c.factory_id = f.id AND c.version = f.config_version AND c.version IS DISTINCT FROM $2::int) AS document,
       (SELECT jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'version', s.current_version)) FROM secrets s
        WHERE s.factory_id = f.id AND s.deleted_at IS NULL AND s.named) AS secrets,
       (SELECT jsonb_agg(jsonb_build_object('secret', d.secret_name, 'type', d.type, 'host', d.host))
        FROM approved_destinations d WHERE d.factory_id = f.id) AS destinations
     FROM factories f WHERE f.id = $1::uuid AND f.deleted_at IS NULL`,
    factoryId,
    parsedVersion ?? null,
  );
  return rows[0];
}

/**
 * The generation that the factory has now, and whether a caller still stands: what the conditional audit row would look
 * at, for an answer that has none. `undefined` when the factory is gone.
 */
export async function readPresent(
  prisma: PrismaClient,
  factoryId: string,
  standing: Standing | undefined,
): Promise<{ generation: bigint; stands: boolean } | undefined> {
  const credentialId = standing && "credentialId" in standing ? standing.credentialId : null;
  const device = standing && "deviceId" in standing ? standing : undefined;
  const [row] = await prisma.$queryRawUnsafe<{ generation: bigint; stands: boolean }[]>(
    `/* broker-present */ SELECT f.generation,
       (asked.credential_id IS NULL OR ${credentialStands("asked.credential_id")})
       AND (asked.device_id IS NULL OR NOT ${isDenied("asked")}) AS stands
     FROM factories f,
          (VALUES ($1::uuid, $2::uuid, $3::uuid, $4::uuid[], $5::text))
            AS asked(factory_id, credential_id, device_id, authorities, serial)
     WHERE f.id = asked.factory_id AND f.deleted_at IS NULL`,
    factoryId,
    credentialId,
    device?.deviceId ?? null,
    device ? [...device.authorities] : null,
    device?.serial ?? null,
  );
  return row;
}
