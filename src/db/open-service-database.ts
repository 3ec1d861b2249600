import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../core/package-root.js";
import type { Settings } from "../settings/settings.js";
import { createPool } from "./connections.js";
import { type Database, openDatabase } from "./database.js";
import { openEmbeddedPostgres } from "./embedded/open-embedded-postgres.js";
import { measureDatabaseClock } from "./measure-clock.js";
import { applyMigrations, assertUtf8 } from "./migrate.js";
import type { OnProgress } from "./slow-step.js";
import { explainConnection, type Patiently } from "./wait-for-database.js";

/** Where the migrations of this release are. */
export const migrationsDirectory = fileURLToPath(new URL("prisma/migrations", packageRoot));

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
  deps: {
    onProgress: OnProgress;
    onError: (error: Error) => void;
    onUnexpectedExit: (message: string) => void;
    /** The service waits for a database that is away. A command does not. */
    patiently?: Patiently;
  },
): Promise<ServiceDatabase> {
  const { url, directUrl, dataDirectory, stop } = await locateDatabase(settings, deps);
  const database = openDatabase({ url, connections: settings.databaseConnections, onError: deps.onError });
  const close = async (): Promise<void> => {
    await database.close();
    await stop();
  };
  try {
    const { patiently = (work) => work() } = deps;
    await patiently(() => measureDatabaseClock(database.pool));
    await migrate(url, deps.onProgress);
  } catch (error) {
    await close();
    throw dataDirectory === undefined ? explainConnection(error, url) : error;
  }
  return { ...database, close, directUrl, dataDirectory };
}

/** On a connection of its own: a migration may take as long as it takes, a request may not. */
async function migrate(url: string, onProgress: OnProgress): Promise<void> {
  const pool = createPool({
    connectionString: url,
    max: 1,
    connectionTimeoutMillis: 5_000,
    application_name: "factory-secrets migrations",
  });
  try {
    await assertUtf8(pool);
    await applyMigrations({ pool, onProgress }, migrationsDirectory);
  } finally {
    await pool.end();
  }
}

/**
 * Finds the database that the settings name, starting the embedded one when they name none, and leaves it as it is.
 * @throws DatabaseUnusable with a sentence for the operator
 */
export async function locateDatabase(
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
