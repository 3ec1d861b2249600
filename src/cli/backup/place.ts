import { AuditWriter } from "../../audit/record.js";
import { openDatabase } from "../../db/database.js";
import { readEmbeddedConnection } from "../../db/embedded/connection-file.js";
import { locateDatabase } from "../../db/open-service-database.js";
import { explainConnection } from "../../db/wait-for-database.js";
import type { Settings } from "../../settings/settings.js";
import { requireData, type ServerDeps } from "../server-work.js";

/** A database as it is found: no migration has touched it. */
export type Place = {
  /** Past a pooler, if the settings name such a way. */
  url: string;
  audit: AuditWriter;
};

/**
 * Gives the database of the settings to a piece of work, without bringing it up to date: a backup before an upgrade is
 * often made with the new release. It is that of the running server, or one that is started for this.
 * @param input.mayMake a data directory without a database gets one
 * @throws DatabaseUnusable with what to put right
 */
export async function atPlace<T>(
  { settings, say, mayMake }: { settings: Settings; say: ServerDeps["say"]; mayMake: boolean },
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const { directUrl, stop } = await reach(settings, say, mayMake);
  const database = openDatabase({ url: directUrl, connections: 2, onError: () => undefined });
  try {
    return await work({ url: directUrl, audit: new AuditWriter(database.pool) });
  } catch (error) {
    // Backups go past a pooler.
    const setting = isDirect(settings.database) ? "DATABASE_DIRECT_URL" : "DATABASE_URL";
    throw settings.database.kind === "external" ? explainConnection(error, directUrl, setting) : error;
  } finally {
    await database.close();
    await stop();
  }
}

const isDirect = (database: Settings["database"]): boolean =>
  database.kind === "external" && database.directUrl !== database.url;

async function reach(settings: Settings, say: ServerDeps["say"], mayMake: boolean) {
  if (settings.database.kind === "embedded") {
    const { dataDirectory } = settings.database;
    const running = await readEmbeddedConnection(dataDirectory);
    if (running) return { directUrl: running.url, stop: async () => undefined };
    if (!mayMake) await requireData(dataDirectory);
  }
  return locateDatabase(settings, { onProgress: say, onUnexpectedExit: say });
}
