import { randomUUID } from "node:crypto";
import type pg from "pg";
import { isDatabaseUnavailable } from "../db/database-errors.js";
import { type AuditEvent, canonicalBytes } from "./events.js";

/** An event as the insert statements take it: one element of their jsonb parameter. */
export type AuditRow = {
  at: string;
  factory_id: string | null;
  action: string;
  outcome: string;
  actor_kind: string;
  actor_id: string | null;
  secret: string | null;
  writer: string;
  sequence: number;
  event: string;
};

/**
 * The columns of `AuditRow` for `jsonb_to_recordset`, and how they become a row of `audit_events`. A statement that
 * writes something else takes both, so that the event is written in the very statement that it records.
 */
export const auditRecordset =
  "at timestamptz, factory_id uuid, action text, outcome text, actor_kind text, actor_id text, secret text, writer uuid, sequence bigint, event text";
export const auditInsert =
  "INSERT INTO audit_events (at, factory_id, action, outcome, actor_kind, actor_id, secret, writer, sequence, event)";
export const auditSelect =
  "SELECT at, factory_id, action, outcome, actor_kind, actor_id, secret, writer, sequence, convert_to(event, 'UTF8')";

/** Only what the audit needs of a transaction of Prisma's. */
type RawClient = { $executeRawUnsafe(sql: string, ...values: unknown[]): Promise<number> };

type Waiting = {
  row: AuditRow;
  generation: string | null;
  resolve: (outcome: Outcome) => void;
  reject: (error: unknown) => void;
};

/** Whether the row stands; if not, the generation that the factory has now (`undefined`: it is gone). */
export type Outcome = { written: true } | { written: false; generation: bigint | undefined };

// One statement must not outgrow what Postgres parses in a blink.
const maxBatch = 500;

const insertBatch = `WITH batch AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS row(generation bigint, ${auditRecordset})
  ), present AS MATERIALIZED (
    SELECT id, generation FROM factories WHERE deleted_at IS NULL AND id IN (SELECT factory_id FROM batch)
  ), written AS (
    ${auditInsert}
    ${auditSelect} FROM batch
    WHERE generation IS NULL OR (factory_id, generation) IN (SELECT id, generation FROM present)
  )
  SELECT id, generation FROM present`;

/**
 * The only writer of the audit. Events that belong to another write go with it (`row`, `writeWith`); those that
 * stand alone are gathered: one insert at a time, the next begins when the last has ended and takes all that
 * came meanwhile. Nothing waits on purpose, and under load a batch is half the connections.
 */
export class AuditWriter {
  readonly #pool: pg.Pool;
  readonly #writer = randomUUID();
  #sequence = 0;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Gives an event its place in this writer's sequence. A statement that fails leaves a gap, and that is all. */
  row(event: AuditEvent): AuditRow {
    this.#sequence += 1;
    const { body } = event;
    return {
      at: event.at.toISOString(),
      factory_id: event.factory?.id ?? null,
      action: body.action,
      outcome: event.outcome,
      actor_kind: event.actor.kind,
      actor_id: event.actor.id || null,
      secret: "secret" in body ? body.secret : null,
      writer: this.#writer,
      sequence: this.#sequence,
      event: canonicalBytes(event),
    };
  }

  /** Writes events inside a transaction of the caller's. */
  async writeWith(transaction: RawClient, events: readonly AuditEvent[]): Promise<void> {
    if (events.length === 0) return;
    const rows = JSON.stringify(events.map((event) => this.row(event)));
    await transaction.$executeRawUnsafe(
      `/* audit-write-with */ ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($1::jsonb) AS row(${auditRecordset})`,
      rows,
    );
  }

  /** Writes an event and resolves when it is durable. */
  async write(event: AuditEvent): Promise<void> {
    await this.#enqueue(this.row(event), null);
  }

  /**
   * Writes an event if its factory still has the generation under which it was decided, and resolves when it is durable.
   * One round trip tells a fresh decision from a stale one.
   */
  writeIfCurrent(event: AuditEvent, generation: bigint): Promise<Outcome> {
    return this.#enqueue(this.row(event), String(generation));
  }

  /** Resolves when nothing is waiting any more. */
  async flush(): Promise<void> {
    while (this.#flushing) await this.#flushing;
  }

  #enqueue(row: AuditRow, generation: string | null): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, generation, resolve, reject });
      this.#flushing ??= this.#drain().finally(() => {
        this.#flushing = undefined;
      });
    });
  }

  async #drain(): Promise<void> {
    // Lets the requests of this turn of the event loop join the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, maxBatch);
      await this.#insertAndSettle(batch);
    }
  }

  async #insertAndSettle(batch: readonly Waiting[]): Promise<void> {
    try {
      this.#settle(batch, await this.#insert(batch));
    } catch (error) {
      // One row that Postgres will not take must not fail its neighbours.
      if (batch.length > 1 && !isDatabaseUnavailable(error)) {
        for (const one of batch) await this.#insertAndSettle([one]);
        return;
      }
      for (const { reject } of batch) reject(error);
    }
  }

  async #insert(batch: readonly Waiting[]): Promise<Map<string, string>> {
    const rows = JSON.stringify(batch.map(({ row, generation }) => ({ ...row, generation })));
    const result = await this.#pool.query<{ id: string; generation: string }>({
      name: "audit-insert",
      text: insertBatch,
      values: [rows],
    });
    return new Map(result.rows.map((row) => [row.id, row.generation]));
  }

  #settle(batch: readonly Waiting[], present: ReadonlyMap<string, string>): void {
    for (const { row, generation, resolve } of batch) {
      const now = row.factory_id === null ? undefined : present.get(row.factory_id);
      if (generation === null || generation === now) resolve({ written: true });
      else resolve({ written: false, generation: now === undefined ? undefined : BigInt(now) });
    }
  }
}
