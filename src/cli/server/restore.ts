import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { ReadBackup } from "../../backup/read-backup.js";
import { type Restored, restoreBackup, verifyBackup } from "../../backup/restore-backup.js";
import { systemReason } from "../../core/error-code.js";
import type { KeyEncryptionKey } from "../../crypto/key-encryption-key.js";
import { withClient } from "../../db/connections.js";
import { readMigrations } from "../../db/migrate.js";
import { migrationsDirectory } from "../../db/open-service-database.js";
import { heldKeys } from "../../service/key-source.js";
import { readSettings } from "../../settings/settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar } from "../client/output.js";
import { dataDirectoryOf, type ServerDeps, withOperatorErrors, withUnmigratedDatabase } from "./with-database.js";

export type RestoreArguments = { in: string; check?: true; sha256?: string; revokeCredentials?: true };

/**
 * Checks a backup from end to end, and without `check` puts it into the empty database of the settings.
 * @throws CommandFailure with the reason; then nothing was written
 */
export function readIntoDatabase({ environment, say }: ServerDeps, given: RestoreArguments): Promise<void> {
  return withOperatorErrors(async () => {
    const path = resolve(given.in);
    const migrations = await readMigrations(migrationsDirectory);
    const settings = readSettings(environment);
    const keys = await heldKeys(settings, dataDirectoryOf(settings));
    const verified = await withProgress(path, "Checking", (open) => verifyBackup(open, keys, migrations));
    if (given.sha256 !== undefined && given.sha256.toLowerCase() !== verified.sha256)
      throw new CommandFailure(
        exitCodes.failed,
        `${path} is another backup: its SHA-256 is ${verified.sha256}. Nothing was restored.`,
      );
    if (given.check) return saySentences(say, checked(path, verified));
    const restored = await withUnmigratedDatabase({ settings, say, mayCreate: true }, ({ url, audit }) =>
      withClient(url, "factory-secrets restore", (client) =>
        withProgress(path, "Restoring", (open) =>
          restoreBackup(
            { client, audit, keys, migrations },
            { ...verified, open },
            { revokeCredentials: given.revokeCredentials === true },
          ),
        ),
      ),
    );
    saySentences(say, done(path, verified, restored, keys));
  });
}

/** Does work with a reader of the file, and shows how far it has read. */
async function withProgress<T>(path: string, label: string, work: (open: () => AsyncIterable<Buffer>) => Promise<T>) {
  const { size } = await stat(path).catch((error: unknown) => {
    throw new CommandFailure(exitCodes.usage, `${path} cannot be read (${systemReason(error)}).`);
  });
  const bar = progressBar(label);
  async function* bytes(): AsyncGenerator<Buffer> {
    let done = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
      done += chunk.length;
      bar.show(done, size);
      yield chunk;
    }
  }
  try {
    return await work(bytes);
  } finally {
    bar.clear();
  }
}

function saySentences(say: ServerDeps["say"], sentences: readonly string[]): void {
  for (const sentence of sentences) say(sentence);
}

const number = (value: number): string => value.toLocaleString("en");

function checked(path: string, { header, sha256 }: ReadBackup): string[] {
  const rows = header.tables.reduce((sum, table) => sum + table.rows, 0);
  return [
    `${path} is whole and genuine: ${number(rows)} rows, as of ${header.madeAt}. Nothing was restored.`,
    `SHA-256: ${sha256}`,
    `It opens only with the key-encryption key ${header.keys.join(", ")}.`,
  ];
}

function done(path: string, { header }: ReadBackup, restored: Restored, keys: readonly KeyEncryptionKey[]): string[] {
  const { rows, ended, live } = restored;
  const count = (kind: string): string => number(live.get(kind) ?? 0);
  const missing = header.keys.filter((id) => keys.every((key) => key.id !== id));
  return [
    `Restored ${number(rows)} rows from ${path}: everything is as it was at ${header.madeAt}.`,
    `Ended ${number(ended)} jobs, sessions and credentials that were live then.`,
    ...(live.size === 0
      ? ["No credential is live. Make an operator token: npx factory-secrets operator-token"]
      : [
          `Live again: ${count("operator")} operator tokens, ${count("api-token")} API tokens, ${count("oauth-client")} OAuth clients.`,
          `What was withdrawn after ${header.madeAt} is valid again. Withdraw it again before you open the server to clients, or restore with --revoke-credentials.`,
        ]),
    ...(missing.length > 0
      ? [`Before the start, add the key-encryption key ${missing.join(", ")} to FACTORY_SECRETS_KEYS.`]
      : []),
  ];
}
