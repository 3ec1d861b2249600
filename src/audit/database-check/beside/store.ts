import type { Database, PrismaClient } from "../../../db/database.js";
import type { UnsealedEvent } from "../../chain/store.js";
import type { Finding } from "../finding.js";
import { type ColumnRow, type Columns, columnsOf, columnsSql } from "../walk/store.js";

/** An event without a place in the chain of the installation. `missing`: the sealer would have given it one. */
export type Unplaced = {
  row: Omit<UnsealedEvent, "xid">;
  columns: Columns;
  missing: "unsealed" | "ahead" | undefined;
};

type UnplacedRow = [
  id: string,
  writer: string,
  sequence: string,
  event: Buffer,
  missing: "unsealed" | "ahead" | null,
  ...columns: ColumnRow,
];

// EXCEPT reads both indexes once from end to end; NOT EXISTS would look each event up, which takes ten times as long.
// Nothing is late or ahead in a database that was restored into another cluster, as the sealer calls it, and without the
// row of the sealer nobody can tell.
const unplacedSql = `WITH unplaced AS (
    SELECT id FROM audit_events WHERE id BETWEEN $1::bigint AND $2::bigint
    EXCEPT SELECT event_id FROM audit_seals WHERE event_id BETWEEN $1::bigint AND $2::bigint AND chain_id = $3::uuid
    ORDER BY id LIMIT $4
  ), sealer AS (
    SELECT frontier, pg_snapshot_xmax(pg_current_snapshot()) AS next FROM audit_sealer
  )
  SELECT e.id, e.writer, e.sequence, e.event, CASE
      WHEN EXISTS (SELECT FROM audit_seals WHERE event_id = e.id) THEN 'unsealed'
      WHEN frontier > next THEN NULL WHEN transaction < frontier THEN 'unsealed' WHEN transaction >= next THEN 'ahead'
    END, ${columnsSql}
  FROM unplaced JOIN audit_events AS e USING (id) LEFT JOIN sealer ON true ORDER BY e.id`;

/** Whether the row that says how far the sealer was is there. */
export async function hasSealerRow(prisma: PrismaClient): Promise<boolean> {
  return (await prisma.auditSealer.count()) > 0;
}

/** Looks for events without a place in the chain of the installation, in the order of ids. */
export async function unplacedEvents(
  pool: Database["pool"],
  installation: string,
  { from, to, limit }: { from: bigint; to: bigint; limit: number },
): Promise<Unplaced[]> {
  const { rows } = await pool.query<UnplacedRow>({
    name: "unplaced-events",
    text: unplacedSql,
    values: [from, to, installation, limit],
    rowMode: "array",
  });
  return rows.map(([id, writer, sequence, event, missing, ...columns]) => ({
    row: { id: BigInt(id), writer, sequence: BigInt(sequence), event, factory_id: columnsOf(columns).factoryId },
    columns: columnsOf(columns),
    missing: missing ?? undefined,
  }));
}

/** Where a page of ids ends that begins with `from`. @returns `undefined` when there are no more events */
export async function endOfPage(
  prisma: PrismaClient,
  from: bigint,
  limit: number,
): Promise<{ last: bigint; count: number } | undefined> {
  const [page] = await prisma.$queryRawUnsafe<{ last: bigint | null; count: number }[]>(
    `/* end-of-audit-page */ SELECT max(id) AS last, count(*)::int AS count
     FROM (SELECT id FROM audit_events WHERE id >= $1::bigint ORDER BY id LIMIT $2) AS page`,
    from,
    limit,
  );
  return page === undefined || page.last === null ? undefined : { last: page.last, count: page.count };
}

/** A place of an event that is not there, among the ids of a page. */
export async function placeOfNothing(
  prisma: PrismaClient,
  { from, to }: { from: bigint; to: bigint },
): Promise<Finding | undefined> {
  const [row] = await prisma.$queryRawUnsafe<{ event_id: bigint; chain_id: string }[]>(
    `/* place-of-nothing */ WITH gone AS (
       SELECT event_id FROM audit_seals WHERE event_id BETWEEN $1::bigint AND $2::bigint
       EXCEPT SELECT id FROM audit_events WHERE id BETWEEN $1::bigint AND $2::bigint
       ORDER BY event_id LIMIT 1
     )
     SELECT event_id, chain_id FROM gone JOIN audit_seals USING (event_id) ORDER BY chain_id LIMIT 1`,
    from,
    to,
  );
  return row && { id: String(row.event_id), reason: "gone", chain: row.chain_id };
}
