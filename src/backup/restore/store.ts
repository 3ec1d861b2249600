import { pipeline } from "node:stream/promises";
import type pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { type AuditRow, auditInsert, auditRecordset, auditSelect } from "../../audit/record.js";
import { type BackupHeader, type BackupTable, firstWaiting } from "../format.js";

/** As the lines of a backup were written. */
const plainText = `SET LOCAL client_encoding = 'UTF8'; SET LOCAL "DateStyle" = 'ISO, YMD'; SET LOCAL "TimeZone" = 'UTC'`;

export async function beginRestore(client: pg.ClientBase): Promise<void> {
  await client.query(
    `BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; ${plainText}`,
  );
}

export async function endRestore(client: pg.ClientBase): Promise<void> {
  await client.query("COMMIT");
}

/** The migrations that the database has; none when it has no schema yet. */
export async function readApplied(client: pg.ClientBase): Promise<string[]> {
  const found = await client.query<{ found: boolean }>("SELECT to_regclass('_prisma_migrations') IS NOT NULL AS found");
  if (!found.rows[0]?.found) return [];
  const { rows } = await client.query<{ name: string }>(
    "SELECT migration_name AS name FROM _prisma_migrations WHERE rolled_back_at IS NULL",
  );
  return rows.map(({ name }) => name);
}

/**
 * The first table, view or sequence of the schema that is none of these tables. What belongs to them or to an extension
 * does not count. Source: the kinds and dependencies of the catalogs pg_class and pg_depend.
 */
export async function firstOther(client: pg.ClientBase, tables: readonly string[]): Promise<string | undefined> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = to_regnamespace(current_schema()) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       AND relname <> ALL ($1)
       AND NOT EXISTS (
         SELECT FROM pg_depend
         WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
           AND (deptype = 'e' OR relkind = 'S' AND deptype IN ('a', 'i')))
     ORDER BY relname LIMIT 1`,
    [tables],
  );
  return rows[0]?.name;
}

/** The first of these tables that has a row. All are locked until the end, so that it stays as it is found. */
export async function firstWithRows(client: pg.ClientBase, tables: readonly string[]): Promise<string | undefined> {
  for (const table of tables) {
    const name = client.escapeIdentifier(table);
    const { rows } = await client.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [name]);
    if (!rows[0]?.found) continue;
    await client.query(`LOCK TABLE ${name} IN SHARE ROW EXCLUSIVE MODE`);
    if ((await client.query(`SELECT FROM ${name} LIMIT 1`)).rowCount !== 0) return table;
  }
  return undefined;
}

/** Writes lines of `COPY`'s text format into their table. */
export async function copyIn(
  client: pg.ClientBase,
  { name, columns }: BackupTable,
  rows: AsyncIterable<Buffer>,
): Promise<void> {
  const list = columns.map((column) => client.escapeIdentifier(column)).join(", ");
  await pipeline(rows, client.query(copyFrom(`COPY ${client.escapeIdentifier(name)} (${list}) FROM STDIN`)));
}

export async function setSequences(client: pg.ClientBase, sequences: BackupHeader["sequences"]): Promise<void> {
  for (const { name, lastValue, isCalled } of sequences)
    await client.query("SELECT setval($1::regclass, $2::bigint, $3)", [
      client.escapeIdentifier(name),
      lastValue,
      isCalled,
    ]);
}

/** Tells the planner what is there: the first requests must not wait for autovacuum to find out. */
export async function analyse(client: pg.ClientBase, tables: readonly string[]): Promise<void> {
  await client.query(`ANALYZE ${tables.map((table) => client.escapeIdentifier(table)).join(", ")}`);
}

/** The sealer begins with what waits for it: a backup has no transaction ids but those that it was given. */
export async function beginSealing(client: pg.ClientBase): Promise<void> {
  await client.query("UPDATE audit_sealer SET frontier = $1::xid8", [String(firstWaiting)]);
}

/**
 * Raises every generation above all that it can have had after the backup was made (they go up by one for a write):
 * what a replica remembers of those days must never pass for what was restored.
 */
export async function raiseGenerations(client: pg.ClientBase): Promise<void> {
  for (const table of ["installation", "factories"])
    await client.query(
      `UPDATE ${table} SET generation = greatest(generation + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`,
    );
}

/** Ends all live credentials of these kinds. @returns how many of each */
export async function endCredentials(client: pg.ClientBase, kinds: readonly string[]): Promise<number> {
  const { rowCount } = await client.query(
    "UPDATE credentials SET revoked_at = now() WHERE kind = ANY ($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
    [kinds],
  );
  return rowCount ?? 0;
}

/** How many credentials of these kinds are live. */
export async function countLive(client: pg.ClientBase, kinds: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await client.query<{ kind: string; count: number }>(
    `SELECT kind, count(*)::int AS count FROM credentials
     WHERE kind = ANY ($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) GROUP BY kind`,
    [kinds],
  );
  return new Map(rows.map(({ kind, count }) => [kind, count]));
}

export async function insertEvent(client: pg.ClientBase, row: AuditRow): Promise<void> {
  await client.query(`${auditInsert} ${auditSelect} FROM jsonb_to_recordset($1::jsonb) AS row(${auditRecordset})`, [
    JSON.stringify([row]),
  ]);
}
