import { randomBytes } from "node:crypto";
import { access, type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Writable } from "node:stream";
import type { AuditWriter } from "../../audit/record.js";
import { type Made, makeBackup } from "../../backup/make-backup.js";
import { databaseNow } from "../../core/database-clock.js";
import { errorCode, systemReason } from "../../core/error-code.js";
import { readMigrations, tablesOf } from "../../db/migrate.js";
import { migrationsDirectory } from "../../db/open-service-database.js";
import { heldKeys } from "../../service/key-source.js";
import { readSettings } from "../../settings/settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar, writeBytes } from "../client/output.js";
import { dataDirectoryOf, type ServerDeps, withOperatorErrors, withUnmigratedDatabase } from "./with-database.js";

type Write = (sink: Writable) => Promise<Made>;

/**
 * Backs up the database of the settings into a new file, or with `-` to standard output.
 * @throws CommandFailure with the reason; then there is no file
 */
export function writeBackup({ environment, say }: ServerDeps, out: string): Promise<void> {
  return withOperatorErrors(async () => {
    const settings = readSettings(environment);
    const knownTables = tablesOf(await readMigrations(migrationsDirectory));
    const keys = await heldKeys(settings, dataDirectoryOf(settings));
    await withUnmigratedDatabase({ settings, say, mayCreate: false }, async ({ url, audit }) => {
      const bar = progressBar("Backing up");
      try {
        const make = (sink: Writable) => makeBackup({ url, keys, knownTables, say, onProgress: bar.show }, sink);
        const complete = (made: Made) => record(audit, made);
        const made = out === "-" ? await toStandardOutput(make) : await intoNewFile(resolve(out), make, complete);
        if (out === "-") await complete(made);
        bar.clear();
        for (const line of summary(made, out)) say(line);
      } finally {
        bar.clear();
      }
    });
  });
}

/** Records that a copy of everything was made, and its SHA-256. */
async function record(audit: AuditWriter, { header, sha256 }: Made): Promise<void> {
  const body = { action: "backup.made", madeAt: header.madeAt, sha256 } as const;
  const actor = { kind: "service", id: "", name: "factory-secrets" } as const;
  await audit.write({ at: databaseNow(), outcome: "allowed", actor, body });
}

/** Writes a file with mode 0600 atomically, also across a power cut. */
async function intoNewFile(path: string, write: Write, complete: (made: Made) => Promise<void>): Promise<Made> {
  if (await exists(path))
    throw new CommandFailure(exitCodes.failed, `${path} exists. It was not overwritten; name another file with --out.`);
  const draft = `${path}.${randomBytes(4).toString("hex")}.partial`;
  const file = await open(draft, "wx", 0o600).catch((error: unknown) => cannotWrite(path, error));
  try {
    const made = await write(into((chunk) => file.appendFile(chunk))).catch((error: unknown) =>
      isOfFile(error) ? cannotWrite(path, error) : Promise.reject(error),
    );
    await file.sync();
    await file.close();
    await complete(made);
    await rename(draft, path);
    await syncDirectory(dirname(path));
    return made;
  } finally {
    await file.close().catch(() => undefined);
    await rm(draft, { force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  // Some file systems cannot open directories; there the rename is not synced.
  const directory = await open(path, "r").catch((): FileHandle | undefined => undefined);
  await directory?.sync().catch(() => undefined);
  await directory?.close();
}

/** A stream that passes each chunk on, and does not close its target. */
function into(passOn: (chunk: Buffer) => Promise<void>): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      passOn(chunk).then(() => done(), done);
    },
  });
}

function toStandardOutput(write: Write): Promise<Made> {
  return write(into((chunk) => writeBytes(chunk).catch((error: unknown) => Promise.reject(incomplete(error)))));
}

const incomplete = (error: unknown): CommandFailure =>
  new CommandFailure(
    exitCodes.failed,
    `The backup on standard output is incomplete (${systemReason(error)}). Run the command again.`,
  );

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const isOfFile = (error: unknown): boolean => ["ENOSPC", "EDQUOT", "EFBIG", "EIO"].includes(errorCode(error) ?? "");

function cannotWrite(path: string, error: unknown): never {
  throw new CommandFailure(exitCodes.failed, `${path} cannot be written (${systemReason(error)}).`);
}

function summary({ header, rows, bytes, sha256 }: Made, out: string): string[] {
  const number = (value: number): string => value.toLocaleString("en");
  const tables = new Set(header.tables.map(({ name }) => name)).size;
  return [
    `${out === "-" ? "Backed up" : `Wrote ${out}:`} ${number(rows)} rows of ${tables} tables, ${number(bytes)} bytes, as of ${header.madeAt}`,
    `SHA-256: ${sha256}`,
    `It opens only with the key-encryption key ${header.keys.join(", ")}, which is not in it.`,
  ];
}
