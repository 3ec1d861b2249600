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

/** The generation that the factory has now, or `undefined` when it is gone. */
export async function readGeneration(prisma: PrismaClient, factoryId: string): Promise<bigint | undefined> {
  const row = await prisma.factory.findUnique({
    select: { generation: true },
    where: { id: factoryId, deletedAt: null },
  });
  return row?.generation;
}
