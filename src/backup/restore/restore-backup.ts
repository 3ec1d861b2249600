import type pg from "pg";
import type { AuditWriter } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import type { KeyEncryptionKey } from "../../crypto/key-encryption-key.js";
import { applyNext, assertUtf8, type Migration, matchesChecksum, tablesOf } from "../../db/migrate.js";
import { type BackupHeader, BackupRefused } from "../format.js";
import { leftOut } from "../left-out.js";
import { type ReadBackup, readBackup } from "../read-backup.js";
import * as store from "./store.js";

/** They live for a build or a login: what ended since the backup must not live again, so all of them end. */
const shortLived = ["job", "oauth-session", "oidc-session"];

/** They live until somebody withdraws them. */
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
  await store.beginRestore(client);
  const ofBackup = new Set(header.migrations.map(({ name }) => name));
  await refuseLaterSchema(client, ofBackup);
  await refuseOthers(client, migrations);
  const before = migrations.filter(({ name }) => ofBackup.has(name));
  await migrate(client, before);
  await refuseRows(client, migrations);
  const read = await readBackup(backup.open(), keys, (table, rows) => store.copyIn(client, table, rows));
  if (read.sha256 !== backup.sha256) throw new BackupRefused("The file was changed while it was being restored.");
  await store.setSequences(client, header.sequences);
  await migrate(client, migrations);
  const restored = await settle(deps, backup, options);
  await store.analyse(client, [...new Set(header.tables.map(({ name }) => name))]);
  await store.endRestore(client);
  return restored;
}

async function migrate(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  while ((await applyNext(client, migrations)) !== undefined);
}

async function refuseLaterSchema(client: pg.ClientBase, ofBackup: ReadonlySet<string>): Promise<void> {
  const later = (await store.readApplied(client)).find((name) => !ofBackup.has(name));
  if (later === undefined) return;
  throw new BackupRefused(
    `The database has the migration ${later}, which is newer than the backup. A backup goes into an empty database: make one, or set FACTORY_SECRETS_DATA_DIR to a new directory.`,
  );
}

/** Whose database it is nobody knows then: it may be named by mistake. */
async function refuseOthers(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  const other = await store.firstOther(client, [...tablesOf(migrations), "_prisma_migrations"]);
  if (other !== undefined) throw notEmpty(`it holds ${other}, which is none of this service`);
}

async function refuseRows(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  const tables = [...tablesOf(migrations)].filter((name) => !leftOut.has(name));
  const table = await store.firstWithRows(client, tables);
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
  await store.beginSealing(client);
  const ended = await store.endCredentials(client, revokeCredentials ? [...shortLived, ...longLived] : shortLived);
  await store.raiseGenerations(client);
  const body = { action: "backup.restored", madeAt: header.madeAt, sha256, count: ended } as const;
  const actor = { kind: "service", id: "", name: "factory-secrets" } as const;
  await store.insertEvent(client, audit.row({ at: databaseNow(), outcome: "allowed", actor, body }));
  const rows = header.tables.reduce((sum, table) => sum + table.rows, 0);
  return { rows, ended, live: await store.countLive(client, longLived) };
}
