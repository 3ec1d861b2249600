import { resolve } from "node:path";
import { AuditWriter } from "../audit/record.js";
import { BackupRefused } from "../backup/format.js";
import { Problem } from "../core/problem.js";
import { KeyUnavailable } from "../crypto/key-encryption-key.js";
import { KeyFormatError } from "../crypto/read-key.js";
import { type Database, openDatabase } from "../db/database.js";
import { locateCluster } from "../db/embedded/cluster-home.js";
import { readEmbeddedConnection } from "../db/embedded/connection-file.js";
import { measureDatabaseClock } from "../db/measure-clock.js";
import { openServiceDatabase } from "../db/open-service-database.js";
import { DatabaseUnusable, explainConnection } from "../db/wait-for-database.js";
import { createOperatorToken } from "../identity/credentials/create-credential.js";
import { claimInstallation } from "../service/health.js";
import { openKeys } from "../service/key-source.js";
import type { Environment } from "../settings/reader.js";
import { readSettings, type Settings, SettingsError } from "../settings/settings.js";
import { CommandFailure, exitCodes } from "./client/command-failure.js";
import { listSigningKeys, type ReplaceInput, replaceSigningKey } from "./signing-keys.js";

/** The settings of the server, and where to tell what takes its time. */
export type ServerDeps = { environment: Environment; say: (line: string) => void };

/**
 * Makes an operator token.
 * @returns the token
 * @throws CommandFailure with what to set, or what is wrong with the database
 */
export function makeOperatorToken(deps: ServerDeps, name: string): Promise<string> {
  return withDatabase(deps, async ({ prisma, pool }) => {
    await claimInstallation(prisma);
    const audit = new AuditWriter(pool);
    return (await createOperatorToken({ prisma, audit }, { name, maker: undefined })).token;
  });
}

/** A line for each key that signs or still verifies. @throws CommandFailure as `makeOperatorToken` */
export function signingKeyLines(deps: ServerDeps): Promise<string[]> {
  return withDatabase(deps, ({ prisma }) => listSigningKeys(prisma));
}

/** Makes a new signing key, as `replaceSigningKey` says. @throws CommandFailure as `makeOperatorToken`, or why it is not made */
export function rotateSigningKey(deps: ServerDeps, input: ReplaceInput): Promise<{ keyId: string; signsFrom?: Date }> {
  return withDatabase(deps, async ({ prisma, pool }, settings) => {
    const keys = await openKeys(prisma, settings, dataDirectoryOf(settings));
    return replaceSigningKey({ prisma, audit: new AuditWriter(pool), keys }, input);
  });
}

/** The data directory of an embedded installation. */
export function dataDirectoryOf({ database }: Settings): string | undefined {
  return database.kind === "embedded" ? resolve(database.dataDirectory) : undefined;
}

/**
 * Gives the database of the settings to a piece of work, and closes it after.
 * @throws CommandFailure as `makeOperatorToken`
 */
export async function withDatabase<T>(
  { environment, say }: ServerDeps,
  work: (database: Database, settings: Settings) => Promise<T>,
): Promise<T> {
  return explained(async () => {
    const settings = readSettings(environment);
    const database = await reachDatabase(settings, say);
    try {
      return await work(database, settings);
    } catch (error) {
      const { database: named } = settings;
      throw named.kind === "external" ? explainConnection(error, named.url) : error;
    } finally {
      await database.close();
    }
  });
}

/** Does a piece of work. @throws CommandFailure with the sentence of what is expected to go wrong */
export async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // What a request is told is for everybody; whoever runs this command may know where the key is.
    if (error instanceof Problem && error.cause instanceof KeyUnavailable)
      throw new CommandFailure(exitCodes.failed, error.cause.message);
    const isExpected =
      error instanceof SettingsError ||
      error instanceof DatabaseUnusable ||
      error instanceof KeyFormatError ||
      error instanceof KeyUnavailable ||
      error instanceof BackupRefused ||
      error instanceof Problem;
    throw isExpected ? new CommandFailure(exitCodes.failed, error.message) : error;
  }
}

/** The database of the running server, or, when none runs, one opened for this command. */
async function reachDatabase(settings: Settings, say: ServerDeps["say"]) {
  const onError = (error: Error): void => say(error.message);
  if (settings.database.kind === "embedded") {
    const running = await readEmbeddedConnection(settings.database.dataDirectory);
    if (running) {
      const database = openDatabase({ url: running.url, connections: 2, onError });
      await measureDatabaseClock(database.pool);
      return database;
    }
    await requireData(settings.database.dataDirectory);
  }
  return openServiceDatabase(settings, { onProgress: say, onError, onUnexpectedExit: say });
}

/**
 * Started in another directory than the server's, a command would make a database there, and a token that no server knows.
 * @throws DatabaseUnusable when there is no cluster
 */
export async function requireData(dataDirectory: string): Promise<void> {
  const path = resolve(dataDirectory);
  if ((await locateCluster(path)) !== undefined) return;
  throw new DatabaseUnusable(
    `There is no data at ${path}. Run it in the clone, or set FACTORY_SECRETS_DATA_DIR as for the server.`,
  );
}
