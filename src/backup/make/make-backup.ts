import { createHash, createHmac } from "node:crypto";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createGzip } from "node:zlib";
import type pg from "pg";
import type { KeyEncryptionKey } from "../../crypto/key-encryption-key.js";
import { withClient } from "../../db/one-client.js";
import { makeBackupKey } from "../backup-key.js";
import { type BackupHeader, BackupRefused, endOfRows, formatVersion, headerLine, trailer } from "../format.js";
import { leftOut } from "../left-out.js";
import * as store from "./store.js";

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

type Part = store.Part & { rows: number };

/**
 * Writes a backup of one moment into `sink`, and ends it. The service goes on; only migrations are kept out.
 * @throws BackupRefused where there is nothing to back up, and while a migration is under way
 */
export async function makeBackup(deps: Deps, sink: Writable): Promise<Made> {
  return withClient(deps.url, "factory-secrets backup lock", async (guard) => {
    if (!(await store.holdMigrations(guard)))
      throw new BackupRefused("The database is being migrated at this moment. Try again when that is done.");
    // On a connection of its own: the snapshot must be younger than the lock.
    return withClient(deps.url, "factory-secrets backup", async (client) => {
      await store.beginSnapshot(client);
      return writeOut(deps, { client, ...(await lookAround(deps, client)), sink });
    });
  });
}

type Found = { header: BackupHeader; parts: readonly Part[]; key: Buffer };

async function lookAround(deps: Deps, client: pg.ClientBase): Promise<Found> {
  const all = await store.readTables(client);
  const tables = all.filter(({ name }) => deps.knownTables.has(name) && !leftOut.has(name));
  const origin = all.some(({ name }) => name === "installation") ? await store.readOrigin(client) : undefined;
  const active = origin && (await store.readActiveKey(client));
  if (!origin || !active) throw new BackupRefused("There is nothing to back up: no service was ever started here.");
  for (const { name } of all)
    if (!deps.knownTables.has(name) && !leftOut.has(name))
      deps.say(`The table ${name} is none of this release's, and not in the backup.`);
  const isChained = tables.some(({ name }) => name === "audit_seals");
  const parts: Part[] = [];
  for (const table of inOrderOfNeed(tables)) {
    const isOfEvents = table.name === "audit_events";
    const ofTable = isOfEvents ? store.eventParts(client, table, isChained) : [store.wholeTable(client, table)];
    for (const part of ofTable) parts.push({ ...part, rows: await store.countRows(client, part) });
  }
  const sequences = await store.readSequences(
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
export function inOrderOfNeed(tables: readonly store.Table[]): store.Table[] {
  const ordered: store.Table[] = [];
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
  parts: readonly Part[],
  onProgress: (rows: number) => void,
): AsyncGenerator<Buffer> {
  let done = 0;
  for (const part of parts) {
    let ofPart = 0;
    for await (const chunk of store.copyOut(client, part)) {
      ofPart += countLines(chunk);
      onProgress(done + ofPart);
      yield chunk;
    }
    // Both were read in one snapshot. A difference would make a file that nobody can restore.
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
