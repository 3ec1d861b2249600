import type { PrismaClient, Transaction } from "../../db/database.js";
import { maxPageBytes } from "../../http/page.js";
import type { Link } from "./link.js";
import type { SignedStatement } from "./statement.js";

/** The end of a chain. Position 0 is a chain without a link. */
export type Head = { position: number; hash: Buffer };

/** A committed event that has no place in a chain yet. */
export type UnsealedEvent = {
  id: bigint;
  factory_id: string | null;
  writer: string;
  sequence: bigint;
  /** Its transaction. */
  xid: string;
  event: Uint8Array;
};

/** A place in a chain, as the statement that writes it takes it. */
export type SealRow = { chain_id: string; position: number; event_id: string; hash: string };

/** An event at its place in a chain. */
export type SealedEvent = Omit<Link, "chain"> & { hash: Buffer };

type SealedRow = {
  position: bigint;
  hash: Uint8Array;
  id: bigint;
  writer: string;
  sequence: bigint;
  event: Uint8Array;
};

export type StatementKind = "checkpoint" | "cut";

/**
 * From where the sealer reads. Everything of a transaction before `frontier` is sealed; nothing can commit any more with
 * one before `xmin`. A database that was `restored` into another cluster has a frontier that no transaction there has
 * reached: whatever it brought along is committed, and what has no seal is looked for once from the beginning.
 */
export type SealerStart = { frontier: string; xmin: string; restored: boolean };

/** The id of this installation, which is that of its chain too; `undefined` in the first moments of its life. */
export async function installationId(prisma: PrismaClient): Promise<string | undefined> {
  return (await prisma.installation.findFirst({ select: { id: true } }))?.id;
}

/** Nobody knows any more how far the sealer was. Making the row anew would pass off what was put in since for genuine. */
export class SealerRowLost extends Error {
  override readonly name = "SealerRowLost";
  constructor() {
    super("the row that says how far the sealer was is missing (audit_sealer), so nothing is sealed: run audit verify");
  }
}

/**
 * Whether there may be something to seal. Takes no lock and no transaction id: it is asked every second.
 * @throws SealerRowLost
 */
export async function hasUnsealed(prisma: PrismaClient): Promise<boolean> {
  const [row] = await prisma.$queryRawUnsafe<{ found: boolean }[]>(
    `/* has-unsealed */ SELECT frontier > pg_snapshot_xmax(pg_current_snapshot()) OR EXISTS (
       SELECT FROM audit_events
       WHERE transaction >= frontier AND transaction < pg_snapshot_xmin(pg_current_snapshot())
     ) AS found FROM audit_sealer`,
  );
  if (row === undefined) throw new SealerRowLost();
  return row.found;
}

/**
 * Makes this transaction the sealer.
 * @returns `undefined` when another is, and `wait` was not asked for
 * @throws SealerRowLost when it was waited for, and is not there
 */
export async function becomeSealer(
  transaction: Transaction,
  { wait }: { wait: boolean },
): Promise<SealerStart | undefined> {
  const [start] = await transaction.$queryRawUnsafe<SealerStart[]>(
    `SELECT frontier::text, pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
       frontier > pg_snapshot_xmax(pg_current_snapshot()) AS restored
     FROM audit_sealer FOR UPDATE ${wait ? "" : "SKIP LOCKED"}`,
  );
  if (start === undefined && wait) throw new SealerRowLost();
  return start;
}

// LIMIT 1 keeps Postgres from reading all seals into a hash: it has to look each event up, in the order of the index.
const withoutSeal =
  "LEFT JOIN LATERAL (SELECT true AS yes FROM audit_seals WHERE event_id = e.id LIMIT 1) AS sealed ON true";

// A batch of events of the usual size is never cut short by it.
const maxBatchBytes = 1024 * 1024;

/**
 * The next events to seal behind `after`, in the order of the chain: by transaction, then id. Fewer than `limit` where
 * they are large. `more`: whether there may be others behind them.
 */
export async function nextUnsealed(
  transaction: Transaction,
  { frontier, xmin, restored }: SealerStart,
  { after, limit }: { after: Pick<UnsealedEvent, "xid" | "id"> | undefined; limit: number },
): Promise<{ events: UnsealedEvent[]; more: boolean }> {
  const rows = await transaction.$queryRawUnsafe<(UnsealedEvent & { found: number })[]>(
    `/* next-unsealed */ SELECT id, factory_id, writer, sequence, transaction::text AS xid, event, found FROM (
       SELECT *, count(*) OVER ()::int AS found,
         sum(octet_length(event)) OVER (ORDER BY transaction, id) - octet_length(event) AS bytes_before
       FROM (
         SELECT e.id, e.factory_id, e.writer, e.sequence, e.transaction, e.event
         FROM audit_events AS e ${withoutSeal}
         WHERE (e.transaction, e.id) > ($1::xid8, $2::bigint) AND e.transaction < $3::xid8 AND sealed.yes IS NULL
         ORDER BY e.transaction, e.id LIMIT $4
       ) AS batch
     ) AS weighed WHERE bytes_before < ${maxBatchBytes} ORDER BY transaction, id`,
    after?.xid ?? (restored ? "0" : frontier),
    after?.id ?? -(2n ** 63n),
    restored ? String(2n ** 64n - 1n) : xmin,
    limit,
  );
  const found = rows[0]?.found ?? 0;
  return { events: rows, more: found === limit || rows.length < found };
}

/**
 * Appends to the chains, moves their ends, and says that every event of a transaction before `frontier` is sealed: no
 * batch need look there again.
 */
export async function insertSeals(
  transaction: Transaction,
  { seals, heads, frontier }: { seals: readonly SealRow[]; heads: ReadonlyMap<string, Head>; frontier: string },
): Promise<void> {
  const ends = [...heads].map(([id, { position, hash }]) => ({ id, position, hash: hash.toString("hex") }));
  await transaction.$executeRawUnsafe(
    `/* insert-seals */ WITH sealed AS (
       INSERT INTO audit_seals (chain_id, position, event_id, hash)
       SELECT chain_id, position, event_id, decode(hash, 'hex')
       FROM jsonb_to_recordset($1::jsonb) AS seal(chain_id uuid, position bigint, event_id bigint, hash text)
     ), ended AS (
       INSERT INTO audit_chains (id, position, hash)
       SELECT id, position, decode(hash, 'hex')
       FROM jsonb_to_recordset($2::jsonb) AS head(id uuid, position bigint, hash text)
       ON CONFLICT (id) DO UPDATE SET position = excluded.position, hash = excluded.hash
     )
     UPDATE audit_sealer SET frontier = $3::xid8 WHERE frontier <> $3::xid8`,
    JSON.stringify(seals),
    JSON.stringify(seals.length === 0 ? [] : ends),
    frontier,
  );
}

/** The most that `countUnsealed` counts. */
export const maxCountedUnsealed = 100_000;

/** How many events have no place in a chain yet, about; 100,000 when there are more. */
export async function countUnsealed(prisma: PrismaClient): Promise<number> {
  const [row] = await prisma.$queryRawUnsafe<{ events: number }[]>(
    `/* count-unsealed */ SELECT count(*)::int AS events FROM (
       SELECT FROM audit_events AS e ${withoutSeal}
       WHERE e.transaction >= (SELECT frontier FROM audit_sealer) AND sealed.yes IS NULL LIMIT ${maxCountedUnsealed}
     ) AS unsealed`,
  );
  return row?.events ?? 0;
}

/**
 * Events of a chain with their places, in order. One that was removed behind our back is not among them. Where they are
 * large there are fewer than `limit`, so a page of them ends a chain only when it is empty.
 */
export async function sealedEvents(
  prisma: PrismaClient,
  chain: string,
  { after, through, limit }: { after: number; through: number; limit: number },
): Promise<SealedEvent[]> {
  const rows = await prisma.$queryRawUnsafe<SealedRow[]>(
    `/* sealed-events */ SELECT position, hash, id, writer, sequence, event FROM (
       SELECT *, sum(octet_length(event)) OVER (ORDER BY position) - octet_length(event) AS bytes_before FROM (
         SELECT seal.position, seal.hash, e.id, e.writer, e.sequence, e.event
         FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id
         WHERE seal.chain_id = $1::uuid AND seal.position > $2::bigint AND seal.position <= $3::bigint
         ORDER BY seal.position LIMIT $4
       ) AS page
     ) AS weighed WHERE bytes_before < ${maxPageBytes} ORDER BY position`,
    chain,
    after,
    through,
    limit,
  );
  return rows.map((row) => ({
    position: Number(row.position),
    hash: Buffer.from(row.hash),
    eventId: String(row.id),
    writer: row.writer,
    sequence: Number(row.sequence),
    event: Buffer.from(row.event),
  }));
}

/** The newest statement of a kind about a chain. */
export async function lastStatement(
  prisma: PrismaClient,
  chain: string,
  kind: StatementKind,
): Promise<(SignedStatement & { position: number }) | undefined> {
  const row = await prisma.auditStatement.findFirst({
    where: { chainId: chain, kind },
    orderBy: { position: "desc" },
  });
  return row ? { ...signedStatement(row), position: Number(row.position) } : undefined;
}

/** Checkpoints of a chain after one position, up to and including another, in order. */
export async function checkpointsWithin(
  prisma: PrismaClient,
  chain: string,
  { after, through }: { after: number; through: number },
): Promise<(SignedStatement & { position: number })[]> {
  const rows = await prisma.auditStatement.findMany({
    where: { chainId: chain, kind: "checkpoint", position: { gt: after, lte: through } },
    orderBy: { position: "asc" },
  });
  return rows.map((row) => ({ ...signedStatement(row), position: Number(row.position) }));
}

/** Keeps a checkpoint. Of several replicas that sign the same end, the first one's stands. */
export async function insertCheckpoint(
  prisma: PrismaClient,
  { chain, position, signed }: { chain: string; position: number; signed: SignedStatement },
): Promise<void> {
  await prisma.auditStatement.createMany({
    data: {
      chainId: chain,
      kind: "checkpoint",
      position: BigInt(position),
      statement: new Uint8Array(Buffer.from(signed.text, "utf8")),
      keyId: signed.keyId,
      signature: new Uint8Array(signed.signature),
    },
    skipDuplicates: true,
  });
}

function signedStatement(row: { statement: Uint8Array; keyId: string; signature: Uint8Array }): SignedStatement {
  return {
    text: Buffer.from(row.statement).toString("utf8"),
    keyId: row.keyId,
    signature: Buffer.from(row.signature),
  };
}
