import { Writable } from "node:stream";
import pg from "pg";
import { AuditWriter } from "../../../src/audit/record.js";
import { type Made, makeBackup } from "../../../src/backup/make-backup.js";
import { type Restored, restoreBackup, verifyBackup } from "../../../src/backup/restore-backup.js";
import type { KeyEncryptionKey } from "../../../src/crypto/key-encryption-key.js";
import { parseKey } from "../../../src/crypto/read-key.js";
import { withClient } from "../../../src/db/connections.js";
import { readMigrations, tablesOf } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";

/** A backup in memory, and what was said while it was made. */
export type BackedUp = { bytes: Buffer; key: string; made: Made; said: string[] };

/** The key-encryption key of a service in tests, by its base64. */
export const keysOf = (...keys: string[]): KeyEncryptionKey[] =>
  keys.map((key) => parseKey("env:FACTORY_SECRETS_KEY", "FACTORY_SECRETS_KEY", key));

export async function backUp({ databaseUrl: url, key }: { databaseUrl: string; key: string }): Promise<BackedUp> {
  const chunks: Buffer[] = [];
  const said: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  const knownTables = tablesOf(await readMigrations(migrationsDirectory));
  const made = await makeBackup(
    { url, keys: keysOf(key), knownTables, onProgress: () => undefined, say: (line) => said.push(line) },
    sink,
  );
  return { bytes: Buffer.concat(chunks), key, made, said };
}

/** Bytes as a file gives them. */
export async function* inChunks(bytes: Buffer, size = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Checks a backup, then restores it, as the command does. */
export async function restoreInto(
  url: string,
  { bytes, key }: { bytes: Buffer; key: string },
  revokeCredentials = false,
): Promise<Restored> {
  const migrations = await readMigrations(migrationsDirectory);
  const open = () => inChunks(bytes);
  const keys = keysOf(key);
  const verified = await verifyBackup(open, keys, migrations);
  // Its pool is never used: the event goes with the restore.
  const audit = new AuditWriter(new pg.Pool({ connectionString: url }));
  return withClient(url, "test restore", (client) =>
    restoreBackup({ client, audit, keys, migrations }, { ...verified, open }, { revokeCredentials }),
  );
}
