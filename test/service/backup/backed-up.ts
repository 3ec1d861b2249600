import { Writable } from "node:stream";
import pg from "pg";
import { AuditWriter } from "../../../src/audit/record.js";
import { type Made, makeBackup } from "../../../src/backup/make/make-backup.js";
import { type Restored, restoreBackup, verifyBackup } from "../../../src/backup/restore/restore-backup.js";
import { readMigrations, tablesOf } from "../../../src/db/migrate.js";
import { withClient } from "../../../src/db/one-client.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";

/** A backup in memory, and what was said while it was made. */
export type BackedUp = { bytes: Buffer; made: Made; said: string[] };

export async function backUp(url: string): Promise<BackedUp> {
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
    { url, knownTables, onProgress: () => undefined, say: (line) => said.push(line) },
    sink,
  );
  return { bytes: Buffer.concat(chunks), made, said };
}

/** Bytes as a file gives them. */
export async function* inChunks(bytes: Buffer, size = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Checks a backup, then restores it, as the command does. */
export async function restoreInto(url: string, bytes: Buffer, revokeCredentials = false): Promise<Restored> {
  const migrations = await readMigrations(migrationsDirectory);
  const open = () => inChunks(bytes);
  const verified = await verifyBackup(open, migrations);
  // Its pool is never used: the event goes with the restore.
  const audit = new AuditWriter(new pg.Pool({ connectionString: url }));
  return withClient(url, "test restore", (client) =>
    restoreBackup({ client, audit, migrations }, { ...verified, open }, { revokeCredentials }),
  );
}
