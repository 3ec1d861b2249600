import { randomUUID } from "node:crypto";
import type pg from "pg";
import type { Standing } from "../core/caller.js";
import { GroupCommit } from "../db/group-commit.js";
import type { RequestFacts } from "../http/route.js";
import { type Kind, type Others, RepeatedEvents } from "./counted-events.js";
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

/**
 * Under what a row is written: the generation of its factory in which the answer was decided, and who must still stand.
 */
export type Condition = { generation: bigint; standing: Standing | undefined };

/** A row with its condition, as the statement takes it; without a generation it is written in any case. */
type Conditional = AuditRow & {
  generation: string | null;
  credential_id?: string;
  device_id?: string;
  authorities?: readonly string[];
  serial?: string;
};

/**
 * Whether the row was written; if not, the generation that the factory has now (`undefined`: it is gone). That is the one
 * of the condition when the caller was withdrawn.
 */
export type Outcome = { written: true } | { written: false; generation: bigint | undefined };

const maxBatch = 500;

/**
 * Whether a credential was neither withdrawn nor has expired, by the clock of the database. A subquery of one value:
 * Postgres looks each up by the primary key, and never reads the table into a hash.
 */
export const credentialStands = (id: string): string =>
  `COALESCE((SELECT c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
             FROM credentials c WHERE c.id = ${id}), false)`;

/** Whether a row with `factory_id`, `device_id`, `authorities` and `serial` is of a device that was denied. */
export const isDenied = (row: string): string =>
  `COALESCE((SELECT true FROM denied_devices d WHERE d.factory_id = ${row}.factory_id AND d.device_id = ${row}.device_id),
            (SELECT true FROM denied_devices d
             WHERE d.authority_id = ANY (${row}.authorities) AND d.serial = ${row}.serial LIMIT 1),
            false)`;

// Read for every token that is handed out, so it says no more than which rows stand. What keeps one from it is asked after.
const insertBatch = `/* audit-insert */ ${auditInsert} ${auditSelect}
  FROM jsonb_to_recordset($1::jsonb)
    AS batch(generation bigint, credential_id uuid, device_id uuid, authorities uuid[], serial text, ${auditRecordset})
  WHERE generation IS NULL
     OR generation = (SELECT f.generation FROM factories f WHERE f.id = batch.factory_id AND f.deleted_at IS NULL)
        AND (credential_id IS NULL OR ${credentialStands("batch.credential_id")})
        AND (device_id IS NULL OR NOT ${isDenied("batch")})
  RETURNING sequence`;

const presentGenerations =
  "/* audit-present */ SELECT id, generation FROM factories WHERE deleted_at IS NULL AND id = ANY ($1::uuid[])";

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
   * Writes an event if its factory still has the generation under which it was decided and the caller is still valid, and
   * resolves when it is durable. One round trip tells a fresh decision from a stale one.
   */
  writeIfCurrent(event: AuditEvent, condition: Condition): Promise<Outcome> {
    return this.#alone.add({ ...this.row(event), ...conditionColumns(condition) });
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
    const values = [JSON.stringify(batch)];
    const inserted = await this.#pool.query<{ sequence: string }>({ name: "audit-insert", text: insertBatch, values });
    if (inserted.rows.length === batch.length) return batch.map(() => ({ written: true }));
    const written = new Set(inserted.rows.map(({ sequence }) => Number(sequence)));
    const refused = batch.filter(({ sequence }) => !written.has(sequence));
    const present = await this.#presentGenerations(refused.flatMap(({ factory_id }) => factory_id ?? []));
    return batch.map(({ factory_id, sequence }) =>
      written.has(sequence) ? { written: true } : { written: false, generation: present.get(factory_id ?? "") },
    );
  }

  async #presentGenerations(factoryIds: readonly string[]): Promise<ReadonlyMap<string, bigint>> {
    const { rows } = await this.#pool.query<{ id: string; generation: string }>(presentGenerations, [
      [...new Set(factoryIds)],
    ]);
    return new Map(rows.map(({ id, generation }) => [id, BigInt(generation)]));
  }
}

function conditionColumns({ generation, standing }: Condition) {
  const condition = { generation: String(generation) };
  if (standing === undefined) return condition;
  if ("credentialId" in standing) return { ...condition, credential_id: standing.credentialId };
  return {
    ...condition,
    device_id: standing.deviceId,
    authorities: standing.authorities,
    serial: standing.serial,
  };
}

/** Which request made an event happen, and from where it came. */
export type RequestedBy = { requestId: string; clientRequestId?: string; address: string };

/** What the audit remembers of a request. */
export const requestedBy = ({
  id,
  clientId,
  address,
}: Pick<RequestFacts, "id" | "clientId" | "address">): RequestedBy => ({
  requestId: id,
  ...(clientId !== undefined && { clientRequestId: clientId }),
  address,
});
