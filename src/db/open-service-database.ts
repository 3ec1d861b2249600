import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Settings } from "../settings.js";
import { type Database, openDatabase } from "./database.js";
import { openEmbeddedPostgres } from "./embedded/open-embedded-postgres.js";
import { explainConnection } from "./explain-connection.js";
import { applyMigrations, assertUtf8 } from "./migrate.js";
import type { OnProgress } from "./slow-step.js";

const migrations = fileURLToPath(new URL("../../prisma/migrations", import.meta.url));

export type ServiceDatabase = Database & {
  /** For the one LISTEN connection. */
  directUrl: string;
  /** Where an embedded installation keeps its files; `undefined` with a database of the operator's. */
  dataDirectory: string | undefined;
};

/**
 * Opens the database that the settings name, starting the embedded one when they name none, and brings it up to date.
 * @throws DatabaseUnusable with a sentence for the operator
 */
export async function openServiceDatabase(
  settings: Settings,
  deps: { onProgress: OnProgress; onError: (error: Error) => void; onUnexpectedExit: (message: string) => void },
): Promise<ServiceDatabase> {
  const { url, directUrl, dataDirectory, stop } = await locate(settings, deps);
  const database = openDatabase({ url, connections: settings.databaseConnections, onError: deps.onError });
  const close = async (): Promise<void> => {
    await database.close();
    await stop();
  };
  try {
    await assertUtf8(database.pool);
    await applyMigrations({ pool: database.pool, onProgress: deps.onProgress }, migrations);
  } catch (error) {
    await close();
    throw dataDirectory === undefined ? explainConnection(error, url) : error;
  }
  return { ...database, close, directUrl, dataDirectory };
}

async function locate(
  settings: Settings,
  deps: { onProgress: OnProgress; onUnexpectedExit: (message: string) => void },
): Promise<{ url: string; directUrl: string; dataDirectory: string | undefined; stop: () => Promise<void> }> {
  const { database } = settings;
  if (database.kind === "external") {
    return { url: database.url, directUrl: database.directUrl, dataDirectory: undefined, stop: async () => undefined };
  }
  const dataDirectory = resolve(database.dataDirectory);
  const embedded = await openEmbeddedPostgres(deps, { dataDirectory });
  return { url: embedded.url, directUrl: embedded.url, dataDirectory, stop: embedded.stop };
}
