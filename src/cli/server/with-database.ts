import { resolve } from "node:path";
import { AuditWriter } from "../../audit/record.js";
import { BackupRefused } from "../../backup/format.js";
import { Problem } from "../../core/problem.js";
import { KeyUnavailable } from "../../crypto/key-encryption-key.js";
import { KeyFormatError } from "../../crypto/read-key.js";
import { type Database, openDatabase } from "../../db/database.js";
import { locateCluster } from "../../db/embedded/cluster-home.js";
import { readEmbeddedConnection } from "../../db/embedded/connection-file.js";
import { measureDatabaseClock } from "../../db/measure-clock.js";
import { locateDatabase, openServiceDatabase } from "../../db/open-service-database.js";
import { DatabaseUnusable, explainConnection } from "../../db/wait-for-database.js";
import type { Environment } from "../../settings/reader.js";
import { readSettings, type Settings, SettingsError } from "../../settings/settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";

/** The settings of the server, and where to report progress. */
export type ServerDeps = { environment: Environment; say: (line: string) => void };

/** The data directory of an embedded installation. */
export function dataDirectoryOf({ database }: Settings): string | undefined {
  return database.kind === "embedded" ? resolve(database.dataDirectory) : undefined;
}

/**
 * Does work with the database of the settings, and closes it afterwards.
 * @throws CommandFailure with what to set, or what is wrong with the database
 */
export async function withDatabase<T>(
  { environment, say }: ServerDeps,
  work: (database: Database, settings: Settings) => Promise<T>,
): Promise<T> {
  return withOperatorErrors(async () => {
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

/** Does work. @throws CommandFailure in place of the errors that have a sentence for the operator */
export async function withOperatorErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // A client of the API must not learn where the key is; the operator of this machine may.
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

/** The database of the running server, or one opened for this command. */
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
 * In another directory than the server's, a command would create a new database, and a token that no server knows.
 * @throws DatabaseUnusable when there is no cluster
 */
export async function requireData(dataDirectory: string): Promise<void> {
  const path = resolve(dataDirectory);
  if ((await locateCluster(path)) !== undefined) return;
  throw new DatabaseUnusable(
    `There is no data at ${path}. Run the command in the clone, or set FACTORY_SECRETS_DATA_DIR as for the server.`,
  );
}

/** A database whose migrations were not run. */
export type UnmigratedDatabase = {
  /** The direct URL, without a pooler, if the settings have one. */
  url: string;
  audit: AuditWriter;
};

/**
 * Does work with the database of the settings, without migrations: a backup before an upgrade is often made with the new
 * release. Uses the database of the running server, or starts it.
 * @param input.mayCreate - creates a database in an empty data directory
 * @throws DatabaseUnusable with what to correct
 */
export async function withUnmigratedDatabase<T>(
  { settings, say, mayCreate }: { settings: Settings; say: ServerDeps["say"]; mayCreate: boolean },
  work: (database: UnmigratedDatabase) => Promise<T>,
): Promise<T> {
  const { directUrl, stop } = await reach(settings, say, mayCreate);
  const database = openDatabase({ url: directUrl, connections: 2, onError: () => undefined });
  try {
    return await work({ url: directUrl, audit: new AuditWriter(database.pool) });
  } catch (error) {
    // Backups use the direct URL.
    const setting = isDirect(settings.database) ? "DATABASE_DIRECT_URL" : "DATABASE_URL";
    throw settings.database.kind === "external" ? explainConnection(error, directUrl, setting) : error;
  } finally {
    await database.close();
    await stop();
  }
}

const isDirect = (database: Settings["database"]): boolean =>
  database.kind === "external" && database.directUrl !== database.url;

async function reach(settings: Settings, say: ServerDeps["say"], mayCreate: boolean) {
  if (settings.database.kind === "embedded") {
    const { dataDirectory } = settings.database;
    const running = await readEmbeddedConnection(dataDirectory);
    if (running) return { directUrl: running.url, stop: async () => undefined };
    if (!mayCreate) await requireData(dataDirectory);
  }
  return locateDatabase(settings, { onProgress: say, onUnexpectedExit: say });
}
