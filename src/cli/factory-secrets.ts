import { resolve } from "node:path";
import { Command } from "commander";
import { AuditWriter } from "../audit/record.js";
import { KeyFormatError } from "../crypto/read-key.js";
import { type Database, openDatabase } from "../db/database.js";
import { DatabaseUnusable } from "../db/database-unusable.js";
import { locateCluster } from "../db/embedded/cluster-home.js";
import { readEmbeddedConnection } from "../db/embedded/connection-file.js";
import { openServiceDatabase } from "../db/open-service-database.js";
import { createOperatorToken } from "../identity/credentials/create-credential.js";
import { readSettings, type Settings, SettingsError } from "../settings.js";
import { claimInstallation } from "../system/store.js";
import { addAuditCommands } from "./audit/commands.js";
import { CommandFailed } from "./command-failed.js";

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** Runs the command line. @returns the exit code: 0 done, 1 could not be done, 2 wrong usage */
export async function run(argv: readonly string[]): Promise<number> {
  const program = new Command("factory-secrets").description(
    "Secrets and short-lived registry tokens for device factories",
  );
  program.exitOverride((error) => {
    throw error;
  });
  program
    .command("operator-token")
    .description("make a new operator token and print it, alone on a line")
    .option("--name <name>", "what to call it", "command line")
    .addHelpText(
      "after",
      "\nIt uses the settings of the server (DATABASE_URL, or the data directory), also while the server runs.\n\nExample:\n  export FS_TOKEN=$(npx factory-secrets operator-token)",
    )
    .action(async ({ name }: { name: string }) => {
      process.stdout.write(`${await operatorToken(readSettings(process.env), name)}\n`);
    });
  addAuditCommands(program, withDatabase);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return 0;
  } catch (error) {
    return exitCodeOf(error);
  }
}

function operatorToken(settings: Settings, name: string): Promise<string> {
  return withDatabase(settings, async ({ prisma, pool }) => {
    await claimInstallation(prisma);
    const audit = new AuditWriter(pool);
    return (await createOperatorToken({ prisma, audit }, { name, maker: undefined })).token;
  });
}

async function withDatabase<T>(settings: Settings, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await reachDatabase(settings);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** The database of the running server, or, when none runs, one opened for this command. */
async function reachDatabase(settings: Settings) {
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

function exitCodeOf(error: unknown): number {
  // commander has said what is wrong, or printed the help that was asked for.
  if (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    error.code.startsWith("commander.")
  ) {
    return /helpDisplayed|version|\.help$/.test(error.code) ? 0 : 2;
  }
  if (error instanceof CommandFailed) {
    say(error.message);
    return error.exitCode;
  }
  const expected =
    error instanceof SettingsError || error instanceof DatabaseUnusable || error instanceof KeyFormatError;
  say(expected ? error.message : `It failed: ${error instanceof Error ? error.message : String(error)}`);
  return 1;
}
