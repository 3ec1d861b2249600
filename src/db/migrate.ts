import { createHash, randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type pg from "pg";
import { databaseNow } from "../core/database-clock.js";
import { isDatabaseUnavailable } from "../core/database-errors.js";
import { errorCode } from "../core/error-code.js";
import { announceWhenSlow, type OnProgress } from "./slow-step.js";
import { DatabaseUnusable } from "./wait-for-database.js";

export type Migration = { name: string; sql: string };
type MigrationRecord = { migration_name: string; checksum: string; finished_at: Date | null };

/** Prisma's own lock (prisma-engines, schema-engine, `acquire_lock`): it keeps a `prisma migrate deploy` out as well. */
export const advisoryLockId = 72707369;
const lockTimeoutMs = 300_000;

const undefinedTable = "42P01";
const lockNotAvailable = "55P03";

/** As Prisma's schema engine creates it, so that its commands can go on from here. */
const createRecordsTable = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;

/**
 * Brings a database to the state of `directory`, which holds `<time>_<name>/migration.sql`, and records each migration as
 * `prisma migrate deploy` does. A migration and its record are one transaction, so one that fails leaves nothing behind
 * (and may not hold what cannot run in a transaction, such as CREATE INDEX CONCURRENTLY).
 *
 * Safe for replicas that start together, also behind a pooler in transaction mode: the lock lives and dies with the
 * transaction, and what is missing is read again under it. A database that needs nothing is not locked.
 * @returns the names of the migrations that this call applied, in order.
 * @throws {DatabaseUnusable} when a migration fails; when an applied one was changed since; when Prisma has recorded one as
 * failed; and when the database was used by a newer release: older code could damage what it does not know.
 */
export async function applyMigrations(
  deps: { pool: pg.Pool; onProgress: OnProgress },
  directory: string,
): Promise<string[]> {
  const migrations = await readMigrations(directory);
  const applied: string[] = [];
  if ((await findPending(deps.pool, migrations)) === undefined) return applied;
  await announceWhenSlow(deps.onProgress, "Bringing the database up to date ...", async () => {
    for (;;) {
      const name = await inTransaction(deps.pool, (client) => applyNext(client, migrations));
      if (name === undefined) return;
      applied.push(name);
    }
  });
  return applied;
}

/** Says whether no migration of this database is under way or has failed. */
export async function migrationsAreComplete(pool: pg.Pool): Promise<boolean> {
  const { rows } = await pool.query(
    "SELECT FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL LIMIT 1",
  );
  return rows.length === 0;
}

/** @throws {DatabaseUnusable} when the database would not keep every Unicode text as it is. */
export async function assertUtf8(db: pg.Pool | pg.ClientBase): Promise<void> {
  const { rows } = await db.query<{ server_encoding: string }>("SHOW server_encoding");
  const encoding = rows[0]?.server_encoding;
  if (encoding === "UTF8") return;
  throw new DatabaseUnusable(
    `The database has the encoding ${encoding}, and the service needs UTF8. Create one with: CREATE DATABASE factory_secrets ENCODING 'UTF8' TEMPLATE template0`,
  );
}

/** The migrations of this release, in order. */
export async function readMigrations(directory: string): Promise<Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => ({ name, sql: await readFile(join(directory, name, "migration.sql"), "utf8") })),
  );
}

/** The tables that these migrations make. */
export function tablesOf(migrations: readonly Migration[]): ReadonlySet<string> {
  const made = migrations.flatMap(({ sql }) => [...sql.matchAll(/^CREATE TABLE (?:IF NOT EXISTS )?"?(\w+)"?/gm)]);
  return new Set(made.map(([, name]) => name ?? ""));
}

/**
 * Applies the first of these migrations that the database lacks, in the transaction of the client, under the lock.
 * @returns its name; `undefined` when there was nothing to do
 * @throws {DatabaseUnusable} as `applyMigrations`
 */
export async function applyNext(client: pg.ClientBase, migrations: readonly Migration[]): Promise<string | undefined> {
  await takeLock(client);
  await client.query(createRecordsTable);
  const next = await findPending(client, migrations);
  if (next === undefined) return undefined;
  const startedAt = databaseNow();
  try {
    await client.query(next.sql);
  } catch (error) {
    // The migration is not at fault, and the same start may go on when the database is back.
    if (isDatabaseUnavailable(error)) throw error;
    const reason = error instanceof Error ? error.message : "unknown";
    throw new DatabaseUnusable(
      `The migration ${next.name} failed and was rolled back; the database is as it was: ${reason}`,
      { cause: error },
    );
  }
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
     VALUES ($1, $2, $3, $4, clock_timestamp(), 1)`,
    [randomUUID(), checksum(next.sql), next.name, startedAt],
  );
  return next.name;
}

async function takeLock(client: pg.ClientBase): Promise<void> {
  try {
    await client.query(`SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    await client.query("SELECT pg_advisory_xact_lock($1)", [advisoryLockId]);
    await client.query("SET LOCAL lock_timeout = 0");
  } catch (error) {
    if (errorCode(error) !== lockNotAvailable) throw error;
    throw new DatabaseUnusable(
      `Another process has been migrating this database for ${lockTimeoutMs / 1000} seconds. Look at it in pg_stat_activity, then start again.`,
      { cause: error },
    );
  }
}

/** The first migration that the database lacks, after a look at those that it has. */
async function findPending(
  db: pg.Pool | pg.ClientBase,
  migrations: readonly Migration[],
): Promise<Migration | undefined> {
  const records = await readRecords(db);
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const record of records) {
    const migration = known.get(record.migration_name);
    if (record.finished_at === null) {
      throw new DatabaseUnusable(
        `The migration ${record.migration_name} failed half-way under prisma migrate. Repair the database, then run: npx prisma migrate resolve --rolled-back ${record.migration_name}`,
      );
    }
    if (migration === undefined) {
      throw new DatabaseUnusable(
        `The database was used by a newer release: it has the migration ${record.migration_name}, which this one does not know. Start that release, or restore a backup from before it.`,
      );
    }
    if (!matchesChecksum(migration.sql, record.checksum)) {
      throw new DatabaseUnusable(
        `The migration ${record.migration_name} was changed after it was applied to this database. Restore its migration.sql from the release that applied it.`,
      );
    }
  }
  const applied = new Set(records.map((record) => record.migration_name));
  return migrations.find((migration) => !applied.has(migration.name));
}

async function readRecords(db: pg.Pool | pg.ClientBase): Promise<MigrationRecord[]> {
  try {
    const { rows } = await db.query<MigrationRecord>(
      "SELECT migration_name, checksum, finished_at FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at",
    );
    return rows;
  } catch (error) {
    if (errorCode(error) === undefinedTable) return [];
    throw error;
  }
}

function checksum(sql: string): string {
  return createHash("sha256").update(sql).digest("hex");
}

/**
 * Whether a migration is the one that was recorded with this checksum. Git may have changed the line ends of a checkout;
 * Prisma (schema-engine, checksum.rs) accepts that too.
 */
export function matchesChecksum(sql: string, expected: string): boolean {
  const unix = sql.replaceAll("\r\n", "\n");
  return [sql, unix, unix.replaceAll("\n", "\r\n")].some((variant) => checksum(variant) === expected);
}

async function inTransaction<T>(pool: pg.Pool, work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    client.release();
    return result;
  } catch (error) {
    // Closing the connection rolls back, whatever state it is in.
    client.release(true);
    throw error;
  }
}
