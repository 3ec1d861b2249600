import { resolve } from "node:path";
import { AuditWriter } from "../audit/record.js";
import { openDatabase } from "../db/database.js";
import { DatabaseUnusable } from "../db/database-unusable.js";
import { locateCluster } from "../db/embedded/cluster-home.js";
import { readEmbeddedConnection } from "../db/embedded/connection-file.js";
import { openServiceDatabase } from "../db/open-service-database.js";
import { createOperatorToken } from "../identity/credentials/create-credential.js";
import type { Environment } from "../settings/reader.js";
import { readSettings, type Settings, SettingsError } from "../settings.js";
import { claimInstallation } from "../system/store.js";
import { CommandFailure, exitCodes, type Terminal } from "./ci/command-failure.js";

/**
 * Makes an operator token in the database of the server whose settings these are.
 * @throws CommandFailure with what to set, or what is wrong with the database
 */
export async function makeOperatorToken(
  environment: Environment,
  terminal: Pick<Terminal, "say">,
  name: string,
): Promise<string> {
  try {
    const database = await reachDatabase(readSettings(environment), terminal);
    try {
      await claimInstallation(database.prisma);
      const audit = new AuditWriter(database.pool);
      return (await createOperatorToken({ prisma: database.prisma, audit }, { name, maker: undefined })).token;
    } finally {
      await database.close();
    }
  } catch (error) {
    if (error instanceof SettingsError || error instanceof DatabaseUnusable)
      throw new CommandFailure(exitCodes.failed, error.message);
    throw error;
  }
}

/** The database of the running server, or, when none runs, one opened for this command. */
async function reachDatabase(settings: Settings, { say }: Pick<Terminal, "say">) {
  const onError = (error: Error): void => say(error.message);
  if (settings.database.kind === "embedded") {
    const running = await readEmbeddedConnection(settings.database.dataDirectory);
    if (running) return openDatabase({ url: running.url, connections: 2, onError });
    const path = resolve(settings.database.dataDirectory);
    // Started in another directory, it would make a database there, and a token that no server knows.
    if ((await locateCluster(path)) === undefined)
      throw new DatabaseUnusable(
        `There is no data at ${path}. Run it in the clone, or set FACTORY_SECRETS_DATA_DIR as for the server.`,
      );
  }
  return openServiceDatabase(settings, { onProgress: say, onError, onUnexpectedExit: say });
}
