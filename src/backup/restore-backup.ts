import { pipeline } from "node:stream/promises";
import type pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { type AuditRow, type AuditWriter, auditInsert, auditRecordset, auditSelect } from "../audit/record.js";
import { databaseNow } from "../core/database-clock.js";
import type { KeyEncryptionKey } from "../crypto/key-encryption-key.js";
import { applyNext, assertUtf8, type Migration, matchesChecksum, tablesOf } from "../db/migrate.js";
import { type BackupHeader, BackupRefused, type BackupTable, firstWaiting, leftOut } from "./format.js";
import { type ReadBackup, readBackup } from "./read-backup.js";

/** They live for a build or a login: what ended since the backup must not live again, so all of them end. */
const shortLived = ["job", "oauth-session", "oidc-session"];

/** They live until someone withdraws them. */
export const longLived = ["operator", "api-token", "oauth-client"] as const;

export type Restored = {
  rows: number;
  /** Jobs and sessions (and with `revokeCredentials` all else) that were live in the backup and are no more. */
  ended: number;
  /** What of the long-lived credentials is live, of each kind. */
  live: ReadonlyMap<string, number>;
};

/** Gives the bytes of the file, from the first: they are read twice. */
type Open = () => AsyncIterable<Buffer>;

/**
 * Reads all of a backup and writes nothing.
 * @param keys - of the settings
 * @param migrations - of this release
 * @throws BackupRefused as `readBackup`, and when it is of a schema that this release does not know
 */
export async function verifyBackup(
  open: Open,
  keys: readonly KeyEncryptionKey[],
  migrations: readonly Migration[],
): Promise<ReadBackup> {
  const verified = await readBackup(open(), keys, async (_table, rows) => {
    for await (const _chunk of rows);
  });
  refuseOtherMigrations(verified.header, migrations);
  return verified;
}

function refuseOtherMigrations({ migrations: given }: BackupHeader, migrations: readonly Migration[]): void {
  const known = new Map(migrations.map(({ name, sql }) => [name, sql]));
  for (const { name, checksum } of given) {
    const sql = known.get(name);
    if (sql === undefined)
      throw new BackupRefused(
        `This backup was made by a newer release: it has the migration ${name}, which this one does not know. Restore it with that release.`,
      );
    if (!matchesChecksum(sql, checksum))
      throw new BackupRefused(
        `The migration ${name} of this release is another than the one that the backup was made with.`,
      );
  }
}

type Deps = {
  client: pg.ClientBase;
  audit: AuditWriter;
  keys: readonly KeyEncryptionKey[];
  migrations: readonly Migration[];
};

/**
 * Puts a backup that was verified into an empty database, in one transaction: whatever stops it, nothing is there.
 * The schema is made as it was when the backup was made, filled, and brought up to date like any other.
 * @throws BackupRefused when the database is not empty, or the file is not the one that was verified; DatabaseUnusable when its encoding is not UTF8, or a migration fails
 */
export async function restoreBackup(
  deps: Deps,
  backup: ReadBackup & { open: Open },
  options: { revokeCredentials: boolean },
): Promise<Restored> {
  const { client, keys, migrations } = deps;
  const { header } = backup;
  // The check of the server's start: what it would refuse then takes no backup.
  await assertUtf8(client);
  await beginRestore(client);
  const ofBackup = new Set(header.migrations.map(({ name }) => name));
  await refuseLaterSchema(client, ofBackup);
  await refuseOthers(client, migrations);
  const before = migrations.filter(({ name }) => ofBackup.has(name));
  await migrate(client, before);
  await refuseRows(client, migrations);
  const read = await readBackup(backup.open(), keys, (table, rows) => copyIn(client, table, rows));
  if (read.sha256 !== backup.sha256) throw new BackupRefused("The file was changed while it was being restored.");
  await setSequences(client, header.sequences);
  await migrate(client, migrations);
  const restored = await settle(deps, backup, options);
  await analyse(client, [...new Set(header.tables.map(({ name }) => name))]);
  await endRestore(client);
  return restored;
}

async function migrate(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  while ((await applyNext(client, migrations)) !== undefined);
}

async function refuseLaterSchema(client: pg.ClientBase, ofBackup: ReadonlySet<string>): Promise<void> {
  const later = (await readApplied(client)).find((name) => !ofBackup.has(name));
  if (later === undefined) return;
  throw new BackupRefused(
    `The database has the migration ${later}, which is newer than the backup. A backup goes into an empty database: make one, or set FACTORY_SECRETS_DATA_DIR to a new directory.`,
  );
}

/** Whose database it is no one knows then: it may be named by mistake. */
async function refuseOthers(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  const other = await firstOther(client, [...tablesOf(migrations), "_prisma_migrations"]);
  if (other !== undefined) throw notEmpty(`it holds ${other}, which does not belong to this service`);
}

async function refuseRows(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  const tables = [...tablesOf(migrations)].filter((name) => !leftOut.has(name));
  const table = await firstWithRows(client, tables);
  if (table !== undefined) throw notEmpty(`there are rows in ${table}`);
}

const notEmpty = (why: string): BackupRefused =>
  new BackupRefused(
    `The database is not empty: ${why}. Nothing was changed. A backup goes into an empty database: make one, or set FACTORY_SECRETS_DATA_DIR to a new directory.`,
  );

/** Makes what was restored a database of this Postgres and of today. Runs on the schema of this release. */
async function settle(
  { client, audit }: Deps,
  { header, sha256 }: { header: BackupHeader; sha256: string },
  { revokeCredentials }: { revokeCredentials: boolean },
): Promise<Restored> {
  await beginSealing(client);
  const ended = await endCredentials(client, revokeCredentials ? [...shortLived, ...longLived] : shortLived);
  await raiseGenerations(client);
  const body = { action: "backup.restored", madeAt: header.madeAt, sha256, count: ended } as const;
  const actor = { kind: "service", id: "", name: "factory-secrets" } as const;
  await insertEvent(client, audit.row({ at: databaseNow(), outcome: "allowed", actor, body }));
  const rows = header.tables.reduce((sum, table) => sum + table.rows, 0);
  return { rows, ended, live: await countLive(client, longLived) };
}

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
 * The first table, view or sequence of the schema that is not one of these tables. What belongs to them or to an extension
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
