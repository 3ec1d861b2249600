import type { PrismaClient } from "../../db/database.js";
import { readCheckpoint } from "./checkpoint.js";
import { factoryIdLabel, factoryIdLength } from "./export.js";
import { type LogRange, logRange } from "./read-log.js";
import { emptyEdge, inclusionRanges, leafHash, rootFromProof, subtreeRoots } from "./tree.js";

/** Leaves whose hashes are read at a time: adding them to the trees keeps requests waiting for a few milliseconds. */
const pageSize = 2_000;

/** Which event a proof is about: by its id in the list of the installation, or in that of a factory. */
export type ProvenEvent = { id: string; factory: string | undefined };

/**
 * Proves that an event is in its log, as C2SP tlog-proof: the index, the hashes from the leaf's sibling up, the checkpoint;
 * as extra data the canonical bytes of the event, of which the leaf is made. Reads the whole log.
 * @returns `undefined` when no checkpoint covers such an event
 */
export async function proveEvent(prisma: PrismaClient, asked: ProvenEvent): Promise<string | undefined> {
  const place = await findEvent(prisma, asked);
  const range = place && (await logRange(prisma, place.log));
  if (place === undefined || range === undefined || place.index >= range.end.edge.size) return undefined;
  const { index, event } = place;
  const { note, edge } = range.end;
  const ranges = inclusionRanges(index, edge.size);
  const proof = await subtreeRoots(ranges, range.cut?.edge ?? emptyEdge(), leafHashes(prisma, range));
  const root = rootFromProof(index, edge.size, leafHash(event), proof);
  if (!readCheckpoint(note)?.root.equals(root))
    throw new Error(`the log ${place.log} is not the one that was signed: run audit verify`);
  const hashes = proof.map((node) => `${node.toString("base64")}\n`).join("");
  return `c2sp.org/tlog-proof@v1\nextra ${event.toString("base64")}\nindex ${index}\n${hashes}\n${note}`;
}

type Place = { log: string; index: number; event: Buffer };

type PlaceRow = { log_id: string; leaf_index: bigint; event: Uint8Array };

async function findEvent(prisma: PrismaClient, { id, factory }: ProvenEvent): Promise<Place | undefined> {
  const [row] = factory === undefined ? await rowsById(prisma, id) : await rowsOfFactory(prisma, id, factory);
  return row && { log: row.log_id, index: Number(row.leaf_index), event: Buffer.from(row.event) };
}

async function rowsById(prisma: PrismaClient, id: string): Promise<PlaceRow[]> {
  if (!/^\d{1,18}$/.test(id)) return [];
  return prisma.$queryRawUnsafe<PlaceRow[]>(
    `/* find-event */ SELECT seal.log_id, seal.leaf_index, e.event
     FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id WHERE e.id = $1::bigint`,
    id,
  );
}

// The ids of a factory are hashes, so this computes those of all its events. An index would cost every token its upkeep.
function rowsOfFactory(prisma: PrismaClient, id: string, factory: string): Promise<PlaceRow[]> {
  return prisma.$queryRawUnsafe<PlaceRow[]>(
    `/* find-event-of-factory */ SELECT seal.log_id, seal.leaf_index, e.event
     FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id
     WHERE seal.log_id = $2::uuid AND $1 = left(
       encode(sha256(convert_to('${factoryIdLabel}' || e.writer || ' ' || e.id, 'UTF8')), 'hex'), ${factoryIdLength})
     LIMIT 1`,
    id,
    factory,
  );
}

async function* leafHashes(prisma: PrismaClient, { log, cut, end }: LogRange): AsyncGenerator<readonly Buffer[]> {
  for (let from = cut?.edge.size ?? 0; from < end.edge.size; from += pageSize) {
    const rows = await prisma.$queryRawUnsafe<{ hash: Uint8Array }[]>(
      `/* leaf-hashes */ SELECT sha256('\\x00'::bytea || e.event) AS hash
       FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id
       WHERE seal.log_id = $1::uuid AND seal.leaf_index >= $2::bigint AND seal.leaf_index < $3::bigint
       ORDER BY seal.leaf_index`,
      log,
      from,
      Math.min(from + pageSize, end.edge.size),
    );
    yield rows.map(({ hash }) => Buffer.from(hash));
  }
}
