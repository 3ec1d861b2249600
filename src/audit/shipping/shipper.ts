import { randomUUID } from "node:crypto";
import type { PrismaClient } from "../../db/database.js";
import { checkpointLine, eventLine } from "../log/export.js";
import { sealedEvent } from "../log/read-log.js";

/** Events and checkpoints of one delivery: at most about a megabyte. */
const batchSize = 200;
const idleMs = 2_000;
const leaseSeconds = 60;
const firstRetryMs = 1_000;
const lastRetryMs = 300_000;

/** A place that takes lines of the audit. `deliver` resolves when they are kept there, and throws when they may not be. */
export type Target = { id: string; label: string; deliver(text: string): Promise<void> };

type Deps = {
  prisma: PrismaClient;
  targets: readonly Target[];
  /** Told once when a target begins to fail, not at every retry. */
  onError: (label: string, error: unknown) => void;
  random?: () => number;
};

/**
 * Sends sealed events and checkpoints of all logs to outside places, in the order in which they were sealed and signed, at
 * least once each. How far each target is, the database knows: what it cannot take yet waits there, and any replica can
 * continue.
 */
export class AuditShipper {
  readonly #deps: Deps;
  readonly #holder = randomUUID();
  readonly #stopping = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#loops = this.#deps.targets.map((target) => this.#serve(target));
  }

  /** Stops after the delivery that is under way. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    if (this.#loops.length > 0) await releaseShipments(this.#deps.prisma, this.#holder).catch(() => undefined);
  }

  /** How many events and checkpoints each place has not got yet. */
  async lag(): Promise<readonly { target: string; events: number }[]> {
    const ids = this.#deps.targets.map(({ id }) => id);
    return ids.length === 0 ? [] : readLag(this.#deps.prisma, ids);
  }

  async #serve(target: Target): Promise<void> {
    const { onError, random = Math.random } = this.#deps;
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        const full = await this.ship(target);
        failures = 0;
        if (!full) await this.#pause(idleMs);
      } catch (error) {
        if (failures === 0) onError(target.label, error);
        const delayMs = Math.min(lastRetryMs, firstRetryMs * 2 ** failures);
        failures = Math.min(failures + 1, 20);
        await this.#pause(delayMs * (0.5 + random() / 2));
      }
    }
  }

  /**
   * Makes one delivery, if there is anything to send and no other process is sending.
   * @returns whether there may be more at once
   * @throws what the target throws; then nothing counts as sent
   */
  async ship(target: Target): Promise<boolean> {
    const { prisma } = this.#deps;
    await ensureShipment(prisma, target.id);
    const lease = { target: target.id, holder: this.#holder, seconds: leaseSeconds };
    const after = await leaseShipment(prisma, lease);
    if (after === undefined) return false;
    const lines = await nextLines(prisma, after);
    const last = lines.at(-1);
    if (last === undefined) return false;
    await target.deliver(lines.map(({ text }) => `${text}\n`).join(""));
    await advanceShipment(prisma, { target: target.id, holder: this.#holder, number: last.number });
    return lines.length === batchSize;
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#stopping;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms).unref();
      signal.addEventListener("abort", done);
    });
  }
}

type FeedRow = { number: bigint; note: string | null } & {
  log_id: string;
  leaf_index: bigint;
  id: bigint;
  writer: string;
  event: Uint8Array;
};

/** The next events and checkpoints behind a number, as lines of an export. */
async function nextLines(prisma: PrismaClient, after: bigint): Promise<{ number: bigint; text: string }[]> {
  const rows = await prisma.$queryRawUnsafe<FeedRow[]>(
    `/* next-lines */ SELECT * FROM (
       (SELECT seal.number, seal.log_id, seal.leaf_index, e.id, e.writer, e.event, NULL AS note
        FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id
        WHERE seal.number > $1::bigint ORDER BY seal.number LIMIT ${batchSize})
       UNION ALL
       (SELECT number, log_id, size, 0, log_id, ''::bytea, note FROM audit_checkpoints
        WHERE number > $1::bigint ORDER BY number LIMIT ${batchSize})
     ) AS line ORDER BY number LIMIT ${batchSize}`,
    after,
  );
  return rows.map(({ note, number, ...event }) => ({
    number,
    text: note === null ? eventLine(sealedEvent(event), "installation") : checkpointLine(note),
  }));
}

/** Makes the row of a target; one that is there stays as it is. */
async function ensureShipment(prisma: PrismaClient, target: string): Promise<void> {
  // The column's default is rounded to milliseconds, so it can lie half a millisecond ahead: then the next statement
  // would find a lease.
  await prisma.auditShipment.createMany({ data: { target, leasedUntil: new Date(0) }, skipDuplicates: true });
}

/**
 * Takes or keeps the lease of a target, so that one process at a time sends there. The row is written only when half of
 * the lease is over.
 * @returns the number of the last line that was sent; `undefined` while another process has the lease
 */
async function leaseShipment(
  prisma: PrismaClient,
  { target, holder, seconds }: { target: string; holder: string; seconds: number },
): Promise<bigint | undefined> {
  const [row] = await prisma.$queryRawUnsafe<{ number: bigint }[]>(
    `/* lease-shipment */ WITH taken AS (
       UPDATE audit_shipments SET holder = $2::uuid, leased_until = now() + make_interval(secs => $3)
       WHERE target = $1
         AND (leased_until <= now() OR holder = $2::uuid AND leased_until <= now() + make_interval(secs => $3 / 2.0))
       RETURNING number
     )
     SELECT number FROM taken
     UNION ALL
     SELECT number FROM audit_shipments
     WHERE target = $1 AND holder = $2::uuid AND leased_until > now() + make_interval(secs => $3 / 2.0)
     LIMIT 1`,
    target,
    holder,
    seconds,
  );
  return row?.number;
}

/** Remembers what has arrived. A process that lost its lease in the meantime changes nothing: what it sent is sent again. */
async function advanceShipment(
  prisma: PrismaClient,
  { target, holder, number }: { target: string; holder: string; number: bigint },
): Promise<void> {
  await prisma.auditShipment.updateMany({
    where: { target, holder },
    data: { number },
  });
}

/** How many events and checkpoints each of the targets has not got yet, at most: some of them may have been pruned. */
async function readLag(
  prisma: PrismaClient,
  targets: readonly string[],
): Promise<{ target: string; events: number }[]> {
  const rows = await prisma.$queryRawUnsafe<{ target: string; events: bigint }[]>(
    `SELECT wanted.target, greatest(feed.last - greatest(coalesce(shipped.number, 0), feed.first - 1), 0) AS events
     FROM unnest($1::text[]) AS wanted (target)
     LEFT JOIN audit_shipments AS shipped USING (target)
     CROSS JOIN (
       SELECT coalesce(least((SELECT min(number) FROM audit_seals), (SELECT min(number) FROM audit_checkpoints)), 1) AS first,
         coalesce(greatest((SELECT max(number) FROM audit_seals), (SELECT max(number) FROM audit_checkpoints)), 0) AS last
     ) AS feed`,
    targets,
  );
  return rows.map(({ target, events }) => ({ target, events: Number(events) }));
}

/** Lets another process send. */
async function releaseShipments(prisma: PrismaClient, holder: string): Promise<void> {
  await prisma.auditShipment.updateMany({ where: { holder }, data: { holder: null, leasedUntil: new Date(0) } });
}
