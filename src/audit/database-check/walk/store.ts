import type { Database } from "../../../db/database.js";
import type { SealedEvent } from "../../chain/store.js";

/** A place of an event in the chain of a factory. */
export type FactoryPlace = { chain: string; position: number; hash: Buffer };

/** The columns by which an event is found; `atMs` is the time in milliseconds since 1970. */
export type Columns = {
  atMs: number;
  action: string;
  outcome: string;
  actorKind: string;
  actorId: string | null;
  factoryId: string | null;
  secret: string | null;
};

/** An event at its place in the chain of the installation, with all its other places. */
export type PlacedEvent = { sealed: SealedEvent; columns: Columns; others: FactoryPlace[] };

export const columnsSql =
  "(extract(epoch FROM e.at) * 1000)::float8, e.action, e.outcome, e.actor_kind, e.actor_id, e.factory_id, e.secret";

export type ColumnRow = [number, string, string, string, string | null, string | null, string | null];

export function columnsOf([atMs, action, outcome, actorKind, actorId, factoryId, secret]: ColumnRow): Columns {
  return { atMs, action, outcome, actorKind, actorId, factoryId, secret };
}

type PlacedRow = [
  position: string,
  hash: Buffer,
  id: string | null,
  writer: string,
  sequence: string,
  event: Buffer,
  chain: string | null,
  chainPosition: string,
  chainHash: Buffer,
  ...columns: ColumnRow,
];

const placedSql = `SELECT seal.position, seal.hash, e.id, e.writer, e.sequence, e.event,
    other.chain_id, other.position, other.hash, ${columnsSql}
  FROM (
    SELECT position, hash, event_id FROM audit_seals WHERE chain_id = $1::uuid AND position > $2::bigint
    ORDER BY position LIMIT $3
  ) AS seal
  LEFT JOIN audit_events AS e ON e.id = seal.event_id
  LEFT JOIN audit_seals AS other ON other.event_id = seal.event_id AND other.chain_id <> $1::uuid
  ORDER BY seal.position`;

/**
 * The next events of the chain of the installation. One that was removed behind our back is not among them.
 * @returns without a `last` position when there are no more
 */
export async function placedEvents(
  pool: Database["pool"],
  installation: string,
  { after, limit }: { after: string; limit: number },
): Promise<{ last: string | undefined; events: PlacedEvent[] }> {
  const values = [installation, after, limit];
  const { rows } = await pool.query<PlacedRow>({
    name: "placed-events",
    text: placedSql,
    values,
    rowMode: "array",
  });
  const events: PlacedEvent[] = [];
  for (const row of rows) {
    const [position, hash, eventId, writer, sequence, event, chain, chainPosition, chainHash, ...columns] = row;
    if (eventId === null) continue;
    const last = events.at(-1);
    const current =
      last?.sealed.eventId === eventId
        ? last
        : {
            sealed: { position: Number(position), hash, eventId, writer, sequence: Number(sequence), event },
            columns: columnsOf(columns),
            others: [],
          };
    if (current !== last) events.push(current);
    if (chain !== null) current.others.push({ chain, position: Number(chainPosition), hash: chainHash });
  }
  return { last: rows.at(-1)?.[0], events };
}
