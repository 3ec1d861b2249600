import { createHash, createHmac } from "node:crypto";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createGzip } from "node:zlib";
import type pg from "pg";
import { to as copyTo } from "pg-copy-streams";
import type { KeyEncryptionKey } from "../crypto/key-encryption-key.js";
import { withClient } from "../db/connections.js";
import { advisoryLockId } from "../db/migrate.js";
import { makeBackupKey } from "./backup-key.js";
import {
  type BackupHeader,
  BackupRefused,
  endOfRows,
  firstWaiting,
  formatVersion,
  headerLine,
  leftOut,
  trailer,
} from "./format.js";

type Deps = {
  /** Of the database, past a pooler if there is one. */
  url: string;
  /** That the settings name. The active one wraps the key that the backup is authenticated with. */
  keys: readonly KeyEncryptionKey[];
  /** The tables that the migrations of this release make. */
  knownTables: ReadonlySet<string>;
  onProgress: (rows: number, total: number) => void;
  /** Told of what is in the schema and in no backup of ours. */
  say: (line: string) => void;
};

/** `sha256`: of the whole file, as `sha256sum` gives it. */
export type Made = { header: BackupHeader; rows: number; bytes: number; sha256: string };

type CountedPart = Part & { rows: number };

/**
 * Writes a backup of one moment into `sink`, and ends it. The service goes on; only migrations are kept out.
 * @throws BackupRefused where there is nothing to back up, and while a migration is under way
 */
export async function makeBackup(deps: Deps, sink: Writable): Promise<Made> {
  return withClient(deps.url, "factory-secrets backup lock", async (guard) => {
    if (!(await holdMigrations(guard)))
      throw new BackupRefused("The database is being migrated at this moment. Try again when that is done.");
    // On a connection of its own: the snapshot must be younger than the lock.
    return withClient(deps.url, "factory-secrets backup", async (client) => {
      await beginSnapshot(client);
      return writeOut(deps, { client, ...(await lookAround(deps, client)), sink });
    });
  });
}

type Found = { header: BackupHeader; parts: readonly CountedPart[]; key: Buffer };

async function lookAround(deps: Deps, client: pg.ClientBase): Promise<Found> {
  const all = await readTables(client);
  const tables = all.filter(({ name }) => deps.knownTables.has(name) && !leftOut.has(name));
  const origin = all.some(({ name }) => name === "installation") ? await readOrigin(client) : undefined;
  const active = origin && (await readActiveKey(client));
  if (!origin || !active) throw new BackupRefused("There is nothing to back up: no service was ever started here.");
  for (const { name } of all)
    if (!deps.knownTables.has(name) && !leftOut.has(name))
      deps.say(`The table ${name} does not belong to this release and is not in the backup.`);
  const isChained = tables.some(({ name }) => name === "audit_seals");
  const parts: CountedPart[] = [];
  for (const table of inOrderOfNeed(tables)) {
    const isOfEvents = table.name === "audit_events";
    const ofTable = isOfEvents ? eventParts(client, table, isChained) : [wholeTable(client, table)];
    for (const part of ofTable) parts.push({ ...part, rows: await countRows(client, part) });
  }
  const sequences = await readSequences(
    client,
    tables.map(({ name }) => name),
  );
  const { key, bytes } = await makeBackupKey(deps.keys, active, origin.installation);
  const listed = parts.map(({ table, columns, rows }) => ({ name: table, columns: [...columns], rows }));
  const header = {
    format: "factory-secrets-backup",
    version: formatVersion,
    ...origin,
    key,
    sequences,
    tables: listed,
  } as const;
  return { header, parts, key: bytes };
}

/** So that every row finds those that its foreign keys point to. @throws when tables point at each other in a circle */
export function inOrderOfNeed(tables: readonly Table[]): Table[] {
  const ordered: Table[] = [];
  let left = [...tables];
  while (left.length > 0) {
    const names = new Set(left.map(({ name }) => name));
    const ready = left.filter(({ needs }) => needs.every((need) => !names.has(need)));
    if (ready.length === 0) throw new Error(`tables point at each other: ${[...names].join(", ")}`);
    ordered.push(...ready);
    left = left.filter((table) => !ready.includes(table));
  }
  return ordered;
}

type Output = Found & { client: pg.ClientBase; sink: Writable };

async function writeOut(deps: Deps, { client, header, parts, key, sink }: Output): Promise<Made> {
  const hash = createHash("sha256");
  const hmac = createHmac("sha256", key);
  const total = parts.reduce((sum, { rows }) => sum + rows, 0);
  let bytes = 0;
  const counted = (chunk: Buffer): Buffer => {
    hash.update(chunk);
    hmac.update(chunk);
    bytes += chunk.length;
    return chunk;
  };
  const rows = linesOf(client, parts, (done) => deps.onProgress(done, total));
  // The rows wait for this alone, so: the fastest level.
  const gzip = createGzip({ level: constants.Z_BEST_SPEED });
  await pipeline(
    rows,
    gzip,
    async function* (zipped: AsyncIterable<Buffer>) {
      yield counted(Buffer.from(headerLine(header), "utf8"));
      for await (const chunk of zipped) yield counted(chunk);
      const end = Buffer.from(trailer(hmac.digest("hex")), "utf8");
      hash.update(end);
      bytes += end.length;
      yield end;
    },
    sink,
  );
  return { header, rows: total, bytes, sha256: hash.digest("hex") };
}

async function* linesOf(
  client: pg.ClientBase,
  parts: readonly CountedPart[],
  onProgress: (rows: number) => void,
): AsyncGenerator<Buffer> {
  let done = 0;
  for (const part of parts) {
    let ofPart = 0;
    for await (const chunk of copyOut(client, part)) {
      ofPart += countLines(chunk);
      onProgress(done + ofPart);
      yield chunk;
    }
    // Both were read in one snapshot. A difference would make a file that no one can restore.
    if (ofPart !== part.rows) throw new Error(`${part.table} gave ${ofPart} rows of ${part.rows}`);
    done += ofPart;
    yield Buffer.from(`${endOfRows}\n`);
  }
}

function countLines(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) count += 1;
  return count;
}

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

/** Begins a transaction that sees the database as it is now, whatever is written in the meantime. */
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
 * The events, without the transaction ids of this Postgres, which another one has not reached or has long passed. What is
 * sealed gets one that no sealer looks at again (0); what still waits to be sealed gets the smallest there are from
 * `firstWaiting` on, in its order.
 * @param hasSeals the schema has a table of what is sealed; before that everything waits
 */
export function eventParts(client: pg.ClientBase, { name, columns }: Table, hasSeals: boolean): Part[] {
  const selectWith = (transaction: string): string => {
    const list = columns.map((column) => (column === "transaction" ? transaction : quoted(client, column)));
    return `SELECT ${list.join(", ")} FROM audit_events AS e`;
  };
  const place = "row_number() OVER (ORDER BY e.transaction, e.id) - 1";
  const waiting = selectWith(`(${firstWaiting} + (${place}) / ${eventsOfTransaction})::text::xid8`);
  if (!hasSeals) return [{ table: name, columns, select: waiting }];
  const isSealed = "EXISTS (SELECT FROM audit_seals WHERE event_id = e.id)";
  return [
    { table: name, columns, select: `${selectWith("'0'::xid8")} WHERE ${isSealed}` },
    { table: name, columns, select: `${waiting} WHERE NOT ${isSealed}` },
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
