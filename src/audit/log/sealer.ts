import { setImmediate, setTimeout } from "node:timers/promises";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { originOf, signCheckpoint } from "./checkpoint.js";
import { installationId, treesOf } from "./read-log.js";
import type { AuditSigningKey } from "./signing-key.js";
import { append, edgeBytes, type RightEdge, readEdge, rootOf } from "./tree.js";

/** Events in one transaction of the sealer: so many that its round trips hardly count. */
const batchSize = 1_000;
/**
 * After a full batch the sealer rests this many times as long as it took, because requests come first; after each further
 * one half as much, because a backlog must not go on growing.
 */
const restFactor = 4;
/** Signatures at a stretch: they keep requests waiting for a few milliseconds. */
const signSlice = 50;

/** How often the sealer looks for new events, and after how many events or how much time it signs checkpoints. */
export type Rhythm = { roundMs: number; checkpointEvents: number; checkpointMs: number };
const usualRhythm: Rhythm = { roundMs: 1_000, checkpointEvents: 10_000, checkpointMs: 60_000 };

type Deps = {
  prisma: PrismaClient;
  signingKey: AuditSigningKey;
  /** Told once when rounds begin to fail, not every second. */
  onError: (error: unknown) => void;
  rhythm?: Rhythm;
};

/**
 * Appends committed events to the logs and signs checkpoints. Runs in every replica; the lock of one row makes one of
 * them the sealer for the length of a transaction. A crash leaves the logs whole at the last batch.
 */
export class AuditSealer {
  readonly #deps: Deps;
  readonly #rhythm: Rhythm;
  readonly #startedMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #failing = false;
  #closing = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#rhythm = deps.rhythm ?? usualRhythm;
  }

  start(): void {
    let busy = false;
    this.#timer = setInterval(() => {
      if (busy) return;
      busy = true;
      this.#round = this.#runRound().finally(() => {
        busy = false;
      });
    }, this.#rhythm.roundMs).unref();
  }

  /**
   * Seals what is committed now and was not before. Events of transactions that still run come later.
   * @param options.wait for another replica that is sealing
   * @param options.maxEvents seals about as many; after an upgrade a backlog of years may be waiting
   * @param options.rest leaves the machine to requests between batches, and signs checkpoints when they are due
   */
  async seal(options: { wait?: boolean; maxEvents?: number; rest?: boolean } = {}): Promise<void> {
    const { wait = true, maxEvents = Number.POSITIVE_INFINITY, rest = false } = options;
    const { prisma } = this.#deps;
    if ((await installationId(prisma)) === undefined) return;
    for (let batches = 0; batches * batchSize < maxEvents && !this.#closing; batches += 1) {
      if (batches === 0 && !(await hasUnsealed(prisma))) return;
      const startedMs = performance.now();
      const isFull = await prisma.$transaction((transaction) => sealBatch(transaction, wait));
      if (!isFull) return;
      if (!rest) continue;
      const restMs = ((performance.now() - startedMs) * restFactor) / 2 ** batches;
      // Also between batches: a round may never end while events come as fast as they are sealed.
      await this.#signIfDue();
      await setTimeout(restMs, undefined, { ref: false });
    }
  }

  /** Signs a checkpoint of each log that has new leaves. Asks a key-encryption key, maybe over the network. */
  async sign(): Promise<void> {
    const { prisma, signingKey } = this.#deps;
    const installation = await installationId(prisma);
    if (installation === undefined || !(await hasUnsigned(prisma))) return;
    const signer = await signingKey.current(installation);
    await prisma.$transaction(async (transaction) => {
      // Under the lock: numbers of checkpoints are given in the order in which they are committed, as those of events.
      await transaction.$queryRawUnsafe("SELECT FROM audit_sealer FOR UPDATE");
      const logs = await transaction.$queryRawUnsafe<{ id: string; size: bigint; edge: Uint8Array }[]>(
        "/* unsigned-logs */ SELECT id, size, edge FROM audit_logs WHERE size > signed_size ORDER BY id",
      );
      let number = await lastNumber(transaction);
      const rows: CheckpointRow[] = [];
      for (const [at, { id, size, edge }] of logs.entries()) {
        if (at % signSlice === signSlice - 1) await setImmediate();
        const tree = readEdge(Number(size), Buffer.from(edge));
        const note = signCheckpoint(signer, { ...tree, origin: originOf(installation, id), root: rootOf(tree) });
        number += 1;
        rows.push({ log_id: id, size: tree.size, number, note, edge: edgeBytes(tree).toString("hex") });
      }
      if (rows.length > 0) await insertCheckpoints(transaction, rows);
    });
  }

  /** How many events are committed and not sealed; 100,000 when there are more. */
  backlog(): Promise<number> {
    return countUnsealed(this.#deps.prisma);
  }

  /** Stops, after the batch that is being sealed. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    await this.#round;
  }

  async #runRound(): Promise<void> {
    try {
      await this.seal({ wait: false, rest: true });
      await this.#signIfDue();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#deps.onError(error);
      this.#failing = true;
    }
  }

  async #signIfDue(): Promise<void> {
    const { checkpointEvents, checkpointMs } = this.#rhythm;
    // The first checkpoint of an installation comes after a while too, not in the middle of its first requests.
    const isYoung = performance.now() - this.#startedMs < checkpointMs;
    const [due] = await this.#deps.prisma.$queryRawUnsafe<{ by_events: boolean; by_time: boolean | null }[]>(
      `/* checkpoint-due */ SELECT
         coalesce((SELECT max(number) FROM audit_seals), 0) - coalesce(last.number, 0) >= $1::bigint AS by_events,
         last.created_at <= now() - make_interval(secs => $2) AS by_time
       FROM (SELECT) AS one LEFT JOIN LATERAL (
         SELECT number, created_at FROM audit_checkpoints ORDER BY number DESC LIMIT 1
       ) AS last ON true`,
      checkpointEvents,
      checkpointMs / 1_000,
    );
    if (due?.by_events || (due?.by_time ?? !isYoung)) await this.sign();
  }
}

type CheckpointRow = { log_id: string; size: number; number: number; note: string; edge: string };

// With the time of the statement: that of the transaction may lie before events that it waited for, and prune goes by it.
async function insertCheckpoints(transaction: Transaction, rows: readonly CheckpointRow[]): Promise<void> {
  await transaction.$executeRawUnsafe(
    `/* insert-checkpoints */ WITH signed AS (
       INSERT INTO audit_checkpoints (log_id, size, number, note, edge, created_at)
       SELECT log_id, size, number, note, decode(edge, 'hex'), clock_timestamp()
       FROM jsonb_to_recordset($1::jsonb) AS row(log_id uuid, size bigint, number bigint, note text, edge text)
       RETURNING log_id, size
     )
     UPDATE audit_logs SET signed_size = signed.size FROM signed WHERE id = signed.log_id`,
    JSON.stringify(rows),
  );
}

/** Seals the next events, in one transaction. @returns whether there may be more of them, and this was the sealer */
async function sealBatch(transaction: Transaction, wait: boolean): Promise<boolean> {
  const start = await becomeSealer(transaction, wait);
  if (start === undefined) return false;
  const events = await nextUnsealed(transaction, start);
  const trees = await treesOf(transaction, [...new Set(events.map(({ log_id }) => log_id))]);
  let number = await lastNumber(transaction);
  const seals = events.flatMap(({ id, log_id, hash }) => {
    const tree = trees.get(log_id);
    if (tree === undefined) return [];
    number += 1;
    const seal = { number, log_id, leaf_index: tree.size, event_id: String(id) };
    append(tree, Buffer.from(hash));
    return [seal];
  });
  const last = events.at(-1);
  const isFull = last !== undefined && events.length === batchSize;
  const frontier = isFull ? { xid: last.xid, id: String(last.id) } : { xid: start.xmin, id: "0" };
  // A database from another cluster is looked through to its end before the frontier means something here.
  const next = start.restored && isFull ? undefined : frontier;
  await insertSeals(transaction, { seals, trees, next });
  return isFull;
}

/**
 * From where the sealer reads. Everything up to `frontier` and `id` is sealed; nothing can commit any more in a
 * transaction before `xmin`. A database that was `restored` into another cluster has a frontier that no transaction there
 * has reached: all that it brought along is committed, and what has no seal is looked for from the beginning.
 */
type SealerStart = { frontier: string; frontier_id: bigint; xmin: string; restored: boolean };

/** Without that row the sealer does not know how far it was. */
function lostRow(): Error {
  return new Error("audit_sealer has no row, so nothing is sealed. See docs/audit.md, section Sealing.");
}

/** Takes no lock and no transaction id: it is asked every second. @throws Error when the row of the sealer is missing */
async function hasUnsealed(prisma: PrismaClient): Promise<boolean> {
  const [row] = await prisma.$queryRawUnsafe<{ found: boolean }[]>(
    `/* has-unsealed */ SELECT frontier > pg_snapshot_xmax(pg_current_snapshot()) OR EXISTS (
       SELECT FROM audit_events
       WHERE (transaction, id) > (frontier, frontier_id) AND transaction < pg_snapshot_xmin(pg_current_snapshot())
     ) AS found FROM audit_sealer`,
  );
  if (row === undefined) throw lostRow();
  return row.found;
}

async function hasUnsigned(prisma: PrismaClient): Promise<boolean> {
  const [row] = await prisma.$queryRawUnsafe<{ found: boolean }[]>(
    "/* has-unsigned */ SELECT EXISTS (SELECT FROM audit_logs WHERE size > signed_size) AS found",
  );
  return row?.found ?? false;
}

/** @returns `undefined` when another replica is the sealer, and `wait` was not asked for */
async function becomeSealer(transaction: Transaction, wait: boolean): Promise<SealerStart | undefined> {
  const [start] = await transaction.$queryRawUnsafe<SealerStart[]>(
    `SELECT frontier::text, frontier_id, pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
       frontier > pg_snapshot_xmax(pg_current_snapshot()) AS restored
     FROM audit_sealer FOR UPDATE ${wait ? "" : "SKIP LOCKED"}`,
  );
  if (start === undefined && wait) throw lostRow();
  return start;
}

type UnsealedEvent = { id: bigint; xid: string; log_id: string; hash: Uint8Array };

/**
 * The next events in the order of the logs: by transaction, then id. Each with the hash of its leaf, which Postgres
 * computes: the sealer does not read the events themselves.
 */
async function nextUnsealed(
  transaction: Transaction,
  { frontier, frontier_id, xmin, restored }: SealerStart,
): Promise<UnsealedEvent[]> {
  return transaction.$queryRawUnsafe<UnsealedEvent[]>(
    `/* next-unsealed */ SELECT e.id, e.transaction::text AS xid, coalesce(e.factory_id, installation.id) AS log_id,
       sha256('\\x00'::bytea || e.event) AS hash
     FROM (
       SELECT id, transaction, factory_id, event FROM audit_events AS e ${withoutSeal}
       WHERE (e.transaction, e.id) > ($1::xid8, $2::bigint) AND e.transaction < $3::xid8 AND sealed.yes IS NULL
       ORDER BY e.transaction, e.id LIMIT ${batchSize}
     ) AS e CROSS JOIN installation ORDER BY e.transaction, e.id`,
    restored ? "0" : frontier,
    restored ? -(2n ** 63n) : frontier_id,
    restored ? String(2n ** 64n - 1n) : xmin,
  );
}

// LIMIT 1 keeps Postgres from reading all seals into a hash: it has to look each event up, in the order of the index.
const withoutSeal =
  "LEFT JOIN LATERAL (SELECT true AS yes FROM audit_seals WHERE event_id = e.id LIMIT 1) AS sealed ON true";

/** The number of the newest event or checkpoint. A prune leaves a checkpoint behind all that it removes. */
async function lastNumber(transaction: Transaction): Promise<number> {
  const [row] = await transaction.$queryRawUnsafe<{ number: bigint }[]>(
    `/* last-number */ SELECT
       greatest((SELECT max(number) FROM audit_seals), (SELECT max(number) FROM audit_checkpoints), 0) AS number`,
  );
  return Number(row?.number ?? 0);
}

type SealRow = { number: number; log_id: string; leaf_index: number; event_id: string };

async function insertSeals(
  transaction: Transaction,
  sealed: {
    seals: readonly SealRow[];
    trees: ReadonlyMap<string, RightEdge>;
    next: { xid: string; id: string } | undefined;
  },
): Promise<void> {
  const trees = [...sealed.trees].map(([id, tree]) => ({
    id,
    size: tree.size,
    edge: edgeBytes(tree).toString("hex"),
  }));
  await transaction.$executeRawUnsafe(
    `/* insert-seals */ WITH sealed AS (
       INSERT INTO audit_seals (number, log_id, leaf_index, event_id)
       SELECT number, log_id, leaf_index, event_id FROM jsonb_to_recordset($1::jsonb)
         AS row(number bigint, log_id uuid, leaf_index bigint, event_id bigint)
     ), grown AS (
       INSERT INTO audit_logs (id, size, edge)
       SELECT id, size, decode(edge, 'hex') FROM jsonb_to_recordset($2::jsonb) AS row(id uuid, size bigint, edge text)
       ON CONFLICT (id) DO UPDATE SET size = excluded.size, edge = excluded.edge
     )
     UPDATE audit_sealer SET frontier = $3::xid8, frontier_id = $4::bigint
     WHERE (frontier, frontier_id) <> ($3::xid8, $4::bigint)`,
    JSON.stringify(sealed.seals),
    JSON.stringify(trees),
    sealed.next?.xid ?? null,
    sealed.next?.id ?? null,
  );
}

/** The most that `countUnsealed` counts. */
const maxCountedUnsealed = 100_000;

/** How many events have no place in a log yet, about; 100,000 when there are more. */
export async function countUnsealed(prisma: PrismaClient): Promise<number> {
  const [row] = await prisma.$queryRawUnsafe<{ events: number }[]>(
    `/* count-unsealed */ SELECT count(*)::int AS events FROM (
       SELECT FROM audit_events AS e ${withoutSeal}
       WHERE e.transaction >= (SELECT frontier FROM audit_sealer) AND sealed.yes IS NULL LIMIT ${maxCountedUnsealed}
     ) AS unsealed`,
  );
  return row?.events ?? 0;
}
