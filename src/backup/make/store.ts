import type pg from "pg";
import { to as copyTo } from "pg-copy-streams";
import { advisoryLockId } from "../../db/migrate.js";
import { type BackupHeader, firstWaiting } from "../format.js";

/** A table as the catalog knows it. `needs`: the tables that its foreign keys point to. */
export type Table = { name: string; columns: readonly string[]; needs: readonly string[] };

/** Rows of one table, to be read and written together. `select` gives the columns, in their order. */
export type Part = { table: string; columns: readonly string[]; select: string };

/** How values are written as text: the same on every server, whatever its settings. */
const plainText = `
  SET LOCAL client_encoding = 'UTF8'; SET LOCAL bytea_output = 'hex'; SET LOCAL "DateStyle" = 'ISO, YMD';
  SET LOCAL "IntervalStyle" = 'postgres'; SET LOCAL "TimeZone" = 'UTC'; SET LOCAL extra_float_digits = 1`;

/** A backup takes as long as it takes, and so does its reader. */
const withoutLimits = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/**
 * Keeps migrations out for the length of a transaction of this client's.
 * @returns false while one is under way
 */
export async function holdMigrations(client: pg.ClientBase): Promise<boolean> {
  await client.query(`BEGIN; ${withoutLimits}`);
  const { rows } = await client.query<{ held: boolean }>("SELECT pg_try_advisory_xact_lock_shared($1) AS held", [
    advisoryLockId,
  ]);
  return rows[0]?.held === true;
}

/** Begins a transaction that sees the database as it is now, whatever is written meanwhile. */
export async function beginSnapshot(client: pg.ClientBase): Promise<void> {
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${withoutLimits}; ${plainText}`);
}

/** Every table of the schema, but what belongs to an extension. */
export async function readTables(client: pg.ClientBase): Promise<Table[]> {
  const { rows } = await client.query<Table>(
    `SELECT c.relname AS name,
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
       ARRAY(SELECT DISTINCT other.relname::text FROM pg_constraint AS f JOIN pg_class AS other ON other.oid = f.confrelid
             WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid) AS needs
     FROM pg_class AS c
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
     ORDER BY c.relname`,
  );
  return rows;
}

/**
 * Where the sequences stand. They belong to no snapshot: a later number than any row of ours has does no harm.
 * @param tables whose columns they count for
 */
export async function readSequences(
  client: pg.ClientBase,
  tables: readonly string[],
): Promise<BackupHeader["sequences"]> {
  const { rows: found } = await client.query<{ name: string }>(
    `SELECT s.relname AS name FROM pg_class AS s
       JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
       JOIN pg_class AS t ON t.oid = d.refobjid
     WHERE s.relkind = 'S' AND s.relnamespace = current_schema()::regnamespace AND t.relname = ANY ($1) ORDER BY s.relname`,
    [tables],
  );
  const sequences: BackupHeader["sequences"] = [];
  for (const { name } of found) {
    const { rows } = await client.query<{ last_value: string; is_called: boolean }>(
      `SELECT last_value, is_called FROM ${quoted(client, name)}`,
    );
    for (const row of rows) sequences.push({ name, lastValue: row.last_value, isCalled: row.is_called });
  }
  return sequences;
}

/** What a backup says of where it came from; `undefined` where no service was ever started. */
export async function readOrigin(
  client: pg.ClientBase,
): Promise<Pick<BackupHeader, "installation" | "postgres" | "keys" | "migrations" | "madeAt"> | undefined> {
  const { rows } = await client.query<{ installation: string; postgres: string; keys: string[]; made_at: Date }>(
    `SELECT (SELECT id FROM installation) AS installation, current_setting('server_version') AS postgres, now() AS made_at,
       ARRAY(SELECT id FROM key_encryption_keys WHERE state <> 'retired' ORDER BY created_at, id) AS keys`,
  );
  const [row] = rows;
  if (!row?.installation) return undefined;
  const migrations = await client.query<{ name: string; checksum: string }>(
    "SELECT migration_name AS name, checksum FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY migration_name",
  );
  const { installation, postgres, keys } = row;
  return { installation, postgres, keys, madeAt: row.made_at.toISOString(), migrations: migrations.rows };
}

/** The key-encryption key that wraps what is new, whatever the release of the schema. */
export async function readActiveKey(client: pg.ClientBase): Promise<{ id: string; checkValue: Buffer } | undefined> {
  const { rows } = await client.query<{ id: string; checkValue: Buffer }>(
    `SELECT id, check_value AS "checkValue" FROM key_encryption_keys WHERE state = 'active'`,
  );
  return rows[0];
}

/** A part that is the whole table. */
export function wholeTable(client: pg.ClientBase, { name, columns }: Table): Part {
  const list = columns.map((column) => quoted(client, column)).join(", ");
  return { table: name, columns, select: `SELECT ${list} FROM ${quoted(client, name)}` };
}

/** Events that a restored sealer finds in one transaction; it looks through a transaction once for each of its batches. */
const eventsOfTransaction = 1_000;

/**
 * The events, without the transaction ids of this Postgres, which another one has not reached or has long passed. What
 * has its place in the chains, or was put beside them, gets one that no sealer looks at again (0); what still waits to be
 * sealed gets the smallest there are from `firstWaiting` on, in its order.
 * @param isChained the schema has the chains; before them everything waits
 */
export function eventParts(client: pg.ClientBase, { name, columns }: Table, isChained: boolean): Part[] {
  const selectWith = (transaction: string): string => {
    const list = columns.map((column) => (column === "transaction" ? transaction : quoted(client, column)));
    return `SELECT ${list.join(", ")} FROM audit_events AS e`;
  };
  const place = "row_number() OVER (ORDER BY e.transaction, e.id) - 1";
  const waiting = selectWith(`(${firstWaiting} + (${place}) / ${eventsOfTransaction})::text::xid8`);
  if (!isChained) return [{ table: name, columns, select: waiting }];
  // Scalar subqueries are computed once, not for each event.
  const frontier = "(SELECT frontier FROM audit_sealer)";
  const next = "(SELECT pg_snapshot_xmax(pg_current_snapshot()))";
  // An event of a transaction that is still to come is as much beside the chain as one of a time that is sealed.
  const isBeside = `${frontier} <= ${next} AND (e.transaction < ${frontier} OR e.transaction >= ${next})`;
  // Without the row of the sealer nothing is known to be beside the chain, and every event must be in one of the parts.
  const isDone = `(coalesce(${isBeside}, false) OR EXISTS (SELECT FROM audit_seals WHERE event_id = e.id))`;
  return [
    { table: name, columns, select: `${selectWith("'0'::xid8")} WHERE ${isDone}` },
    { table: name, columns, select: `${waiting} WHERE NOT ${isDone}` },
  ];
}

export async function countRows(client: pg.ClientBase, { select }: Part): Promise<number> {
  const { rows } = await client.query<{ count: string }>(`SELECT count(*) AS count FROM (${select}) AS part`);
  return Number(rows[0]?.count);
}

/** The rows of a part as lines of `COPY`'s text format. A line feed in a value is written as two characters. */
export function copyOut(client: pg.ClientBase, { select }: Part): AsyncIterable<Buffer> {
  return client.query(copyTo(`COPY (${select}) TO STDOUT`));
}

function quoted(client: pg.ClientBase, name: string): string {
  return client.escapeIdentifier(name);
}
