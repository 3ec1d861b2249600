import { randomUUID } from "node:crypto";
import type pg from "pg";
import { GroupCommit } from "../db/group-commit.js";
import { type AuditEvent, canonicalBytes } from "./events.js";
import { type Kind, type Others, RepeatedEvents } from "./repeated-events.js";

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

/** A row, and the generation of its factory under which alone it is to be written. */
type Conditional = AuditRow & { generation: string | null };

/** Whether the row stands; if not, the generation that the factory has now (`undefined`: it is gone). */
export type Outcome = { written: true } | { written: false; generation: bigint | undefined };

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
 * stand alone are gathered into one insert.
 */
export class AuditWriter {
  readonly #pool: pg.Pool;
  readonly #writer = randomUUID();
  readonly #alone: GroupCommit<Conditional, Outcome>;
  readonly #repeated: RepeatedEvents;
  #sequence = 0;

  /** @param onError - told of a count that could not be written; it is kept and tried again */
  constructor(pool: pg.Pool, { onError = () => undefined }: { onError?: (error: unknown) => void } = {}) {
    this.#pool = pool;
    this.#repeated = new RepeatedEvents({ write: (event) => this.write(event), onError });
    this.#alone = new GroupCommit((batch) => this.#insert(batch), maxBatch);
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
    await this.#alone.add({ ...this.row(event), generation: null });
  }

  /**
   * Writes an event if its factory still has the generation under which it was decided, and resolves when it is durable.
   * One round trip tells a fresh decision from a stale one.
   */
  writeIfCurrent(event: AuditEvent, generation: bigint): Promise<Outcome> {
    return this.#alone.add({ ...this.row(event), generation: String(generation) });
  }

  /**
   * Writes an event that a caller can cause without bound: the first of its kind in a minute, and a count of the others.
   * Resolves when the first is durable.
   * @param others - what counts for kinds that are too many for one factory
   */
  writeCounted(kind: Kind, others: Others): Promise<void> {
    return this.#repeated.record(kind, others);
  }

  /** Writes what was only counted, and resolves when nothing is waiting any more. */
  async flush(): Promise<void> {
    await this.#repeated.flush();
    await this.#alone.flush();
  }

  async #insert(batch: readonly Conditional[]): Promise<Outcome[]> {
    const result = await this.#pool.query<{ id: string; generation: string }>({
      name: "audit-insert",
      text: insertBatch,
      values: [JSON.stringify(batch)],
    });
    const present = new Map(result.rows.map((row) => [row.id, row.generation]));
    return batch.map(({ factory_id, generation }) => {
      const now = factory_id === null ? undefined : present.get(factory_id);
      if (generation === null || generation === now) return { written: true };
      return { written: false, generation: now === undefined ? undefined : BigInt(now) };
    });
  }
}
