import type { FactoryRef } from "../../../core/caller.js";
import type { PrismaClient } from "../../../db/database.js";

/** An authority that a presented certificate may come from, in the snapshot that `generation` belongs to. */
export type Candidate = {
  authority: { id: string; name: string };
  factory: FactoryRef;
  generation: bigint;
  /** The device or its certificate is on the factory's deny list. */
  denied: boolean;
};

type Row = {
  id: string;
  name: string;
  factory_id: string;
  factory_name: string;
  generation: bigint;
  denied: boolean;
};

// A factory has at most twenty; beyond its own only a few are looked at, to say that the factory is the wrong one.
const maxCandidates = 24;

/**
 * The authorities in which an issuer of one of the presented certificates stands, those of the named factory first.
 * @param presented - names as hashes, and what the device's certificate claims to be
 */
export async function findCandidates(
  prisma: PrismaClient,
  presented: { issuers: readonly string[]; factory: string; deviceId: string | undefined; serial: string },
): Promise<Candidate[]> {
  const sql = `/* device-authorities */
    SELECT a.id, a.name, a.factory_id, f.name AS factory_name, f.generation,
           EXISTS (SELECT FROM denied_devices d
                   WHERE d.factory_id = a.factory_id
                     AND (d.device_id = $3::uuid OR (d.authority_id = a.id AND d.serial = $4))) AS denied
    FROM device_authorities a JOIN factories f ON f.id = a.factory_id
    WHERE a.subjects && $1::text[] AND f.deleted_at IS NULL
    ORDER BY (f.name = $2) DESC, a.created_at LIMIT ${maxCandidates}`;
  const rows = await prisma.$queryRawUnsafe<Row[]>(
    sql,
    [...presented.issuers],
    presented.factory,
    presented.deviceId ?? null,
    presented.serial,
  );
  return rows.map(({ id, name, factory_id, factory_name, generation, denied }) => ({
    authority: { id, name },
    factory: { id: factory_id, name: factory_name },
    generation,
    denied,
  }));
}

/** An authority as it is stored, with the generation of its factory in the same snapshot. */
export type StoredAuthority = {
  certificates: string;
  policy: unknown;
  /** DER. */
  revocationLists: readonly Buffer[];
  generation: bigint;
};

export async function readStoredAuthority(prisma: PrismaClient, id: string): Promise<StoredAuthority | undefined> {
  type Stored = { certificates: string; policy: unknown; revocation_lists: string[]; generation: bigint };
  const sql = `/* device-authority */
    SELECT a.certificates, a.policy, f.generation,
           ARRAY(SELECT encode(list, 'base64') FROM unnest(a.revocation_lists) AS list) AS revocation_lists
    FROM device_authorities a JOIN factories f ON f.id = a.factory_id
    WHERE a.id = $1::uuid AND f.deleted_at IS NULL`;
  const [row] = await prisma.$queryRawUnsafe<Stored[]>(sql, id);
  if (row === undefined) return undefined;
  const { certificates, policy, generation } = row;
  const revocationLists = row.revocation_lists.map((list) => Buffer.from(list, "base64"));
  return { certificates, policy, revocationLists, generation };
}
