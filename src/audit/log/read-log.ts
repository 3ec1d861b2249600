import type { PrismaClient, Transaction } from "../../db/database.js";
import { maxPageBytes } from "../../http/page.js";
import { emptyEdge, type RightEdge, readEdge } from "./tree.js";

/** An event at its place in its log. `number` counts the events and checkpoints of all logs, so no factory may see it. */
export type SealedEvent = { log: string; index: number; eventId: string; writer: string; event: Buffer };

/** A checkpoint as it is kept: the signed note, and the right edge of the tree that it is about. */
export type StoredCheckpoint = { note: string; edge: RightEdge };

/** Where the events of a log that can be read begin and end. `cut`: up to there they were dropped. */
export type LogRange = { log: string; cut: StoredCheckpoint | undefined; end: StoredCheckpoint };

/** The id of this installation, which is that of its log too; `undefined` in the first moments of its life. */
export async function installationId(prisma: PrismaClient | Transaction): Promise<string | undefined> {
  return (await prisma.installation.findFirst({ select: { id: true } }))?.id;
}

/** The logs that have a checkpoint: the installation's first, then those of the factories, deleted ones too. */
export async function signedLogs(prisma: PrismaClient, installation: string): Promise<string[]> {
  const rows = await prisma.auditLog.findMany({
    where: { signedSize: { gt: 0 } },
    select: { id: true },
    orderBy: { id: "asc" },
  });
  const ids = rows.map(({ id }) => id).filter((id) => id !== installation);
  return rows.length === ids.length ? ids : [installation, ...ids];
}

/** @returns `undefined` when no checkpoint of the log was signed yet */
export async function logRange(prisma: PrismaClient, log: string): Promise<LogRange | undefined> {
  const end = await prisma.auditCheckpoint.findFirst({ where: { logId: log }, orderBy: { size: "desc" } });
  const cut = await prisma.auditLog.findUnique({ where: { id: log }, select: { cutCheckpoint: true } });
  if (end === null) return undefined;
  return { log, end: storedCheckpoint(end), cut: cut?.cutCheckpoint ? storedCheckpoint(cut.cutCheckpoint) : undefined };
}

/** How many events lie between the cuts and the last checkpoints of all logs, and how many are sealed behind those. */
export async function countSealed(prisma: PrismaClient): Promise<{ signed: number; unsigned: number }> {
  const [row] = await prisma.$queryRawUnsafe<{ signed: bigint; unsigned: bigint }[]>(
    `SELECT coalesce(sum(signed_size - coalesce(cut, 0)), 0)::bigint AS signed,
       coalesce(sum(size - signed_size), 0)::bigint AS unsigned FROM audit_logs`,
  );
  return { signed: Number(row?.signed ?? 0), unsigned: Number(row?.unsigned ?? 0) };
}

/** Checkpoints of a log behind one size, up to and including another, in order. */
export async function checkpointsWithin(
  prisma: PrismaClient,
  log: string,
  { after, through }: { after: number; through: number },
): Promise<{ size: number; note: string }[]> {
  const rows = await prisma.auditCheckpoint.findMany({
    where: { logId: log, size: { gt: after, lte: through } },
    select: { size: true, note: true },
    orderBy: { size: "asc" },
  });
  return rows.map(({ size, note }) => ({ size: Number(size), note }));
}

type SealedRow = { log_id: string; leaf_index: bigint; id: bigint; writer: string; event: Uint8Array };

/**
 * Events of a log with indexes from `from` on, in order. One that was deleted in the database is left out. Where
 * they are large there are fewer than `limit`, so a page of them ends a log only when it is empty.
 */
export async function sealedEvents(
  prisma: PrismaClient,
  log: string,
  { from, to, limit }: { from: number; to: number; limit: number },
): Promise<SealedEvent[]> {
  const rows = await prisma.$queryRawUnsafe<SealedRow[]>(
    `/* sealed-events */ SELECT log_id, leaf_index, id, writer, event FROM (
       SELECT *, sum(octet_length(event)) OVER (ORDER BY leaf_index) - octet_length(event) AS bytes_before FROM (
         SELECT seal.log_id, seal.leaf_index, e.id, e.writer, e.event
         FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id
         WHERE seal.log_id = $1::uuid AND seal.leaf_index >= $2::bigint AND seal.leaf_index < $3::bigint
         ORDER BY seal.leaf_index LIMIT $4
       ) AS page
     ) AS weighed WHERE bytes_before < ${maxPageBytes} ORDER BY leaf_index`,
    log,
    from,
    to,
    limit,
  );
  return rows.map(sealedEvent);
}

export function sealedEvent({ log_id, leaf_index, id, writer, event }: SealedRow): SealedEvent {
  return { log: log_id, index: Number(leaf_index), eventId: String(id), writer, event: Buffer.from(event) };
}

const storedCheckpoint = ({
  size,
  note,
  edge,
}: {
  size: bigint;
  note: string;
  edge: Uint8Array;
}): StoredCheckpoint => ({
  note,
  edge: readEdge(Number(size), Buffer.from(edge)),
});

/** The trees of logs; one that has not begun is empty. */
export async function treesOf(client: Transaction, logs: readonly string[]): Promise<Map<string, RightEdge>> {
  const rows = await client.auditLog.findMany({ where: { id: { in: [...logs] } } });
  const known = new Map(rows.map(({ id, size, edge }) => [id, readEdge(Number(size), Buffer.from(edge))]));
  return new Map(logs.map((log) => [log, known.get(log) ?? emptyEdge()]));
}
