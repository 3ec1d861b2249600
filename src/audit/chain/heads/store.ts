import type { PrismaClient, Transaction } from "../../../db/database.js";
import { beforeFirst } from "../link.js";
import { readEvent } from "../read-event.js";
import type { Head } from "../store.js";

/** Where the named chains end, for those that have begun. */
export async function headsOf(
  client: PrismaClient | Transaction,
  chains: readonly string[],
): Promise<Map<string, Head>> {
  const rows = await client.auditChain.findMany({ where: { id: { in: [...chains] } } });
  const heads = new Map<string, Head>(
    rows.map((row) => [row.id, { position: Number(row.position), hash: Buffer.from(row.hash) }]),
  );
  const unnoted = chains.filter((chain) => !heads.has(chain));
  if (unnoted.length === 0) return heads;
  // Most of them are new. Where somebody removed the row, a chain that began again at 1 would stop the sealer.
  for (const [chain, head] of await lastPlaces(client, unnoted)) heads.set(chain, head);
  return heads;
}

/** The last place of each chain that has one, or else its last cut. */
async function lastPlaces(client: PrismaClient | Transaction, chains: readonly string[]): Promise<[string, Head][]> {
  const rows = await client.$queryRawUnsafe<
    { id: string; position: bigint; hash: Uint8Array | null; statement: Uint8Array | null }[]
  >(
    `/* last-places */ SELECT chain.id, coalesce(seal.position, cut.position) AS position, seal.hash, cut.statement
     FROM unnest($1::uuid[]) AS chain (id)
     LEFT JOIN LATERAL (
       SELECT position, hash FROM audit_seals WHERE chain_id = chain.id ORDER BY position DESC LIMIT 1
     ) AS seal ON true
     LEFT JOIN LATERAL (
       SELECT position, statement FROM audit_statements
       WHERE chain_id = chain.id AND kind = 'cut' AND seal.position IS NULL ORDER BY position DESC LIMIT 1
     ) AS cut ON true
     WHERE coalesce(seal.position, cut.position) IS NOT NULL`,
    chains,
  );
  return rows.flatMap(({ id, position, hash, statement }): [string, Head][] => {
    const last = hash === null ? cutHash(Buffer.from(statement ?? [])) : Buffer.from(hash);
    // Nothing follows on a cut that the service did not write.
    return last.length === beforeFirst.length ? [[id, { position: Number(position), hash: last }]] : [];
  });
}

/** The hash that a cut names; none for what is no cut, and nothing follows on that. */
export function cutHash(statement: Buffer): Buffer {
  const { event: told } = readEvent(statement);
  return typeof told?.hash === "string" ? Buffer.from(told.hash, "hex") : Buffer.alloc(0);
}
