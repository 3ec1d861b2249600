import { Command } from "commander";
import { auditCommand } from "./audit/commands.js";
import { backupCommands } from "./backup/commands.js";
import { openContext } from "./ci/command-context.js";
import { jobCommands } from "./ci/job-commands.js";
import { runCommands } from "./client/run-commands.js";

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const out = (line: string): void => void process.stdout.write(`${line}\n`);

/** The server's own parts take long to load, and a job has no use for them. */
const loadServerWork = () => import("./server-work.js");
const server = { environment: process.env, say };

/** Runs the command line. @returns the exit code, as `runCommands` says */
export const run = (argv: readonly string[]): Promise<number> =>
  runCommands(argv, (finish) => [
    operatorTokenCommand(),
    signingKeysCommand(),
    auditCommand(server),
    ...backupCommands(server),
    ...jobCommands(() => openContext(process.env), finish),
  ]);

function operatorTokenCommand(): Command {
  return new Command("operator-token")
    .description("make a new operator token and print it, alone on a line")
    .option("--name <name>", "what to call it", "command line")
    .addHelpText(
      "after",
      "\nIt uses the settings of the server (DATABASE_URL, or the data directory), also while the server runs.\n\nExample:\n  export FS_TOKEN=$(npx factory-secrets operator-token)",
    )
    .action(async ({ name }: { name: string }) => {
      const { makeOperatorToken } = await loadServerWork();
      out(await makeOperatorToken(server, name));
    });
}

function signingKeysCommand(): Command {
  const command = new Command("signing-keys").description("the keys that access tokens are signed with");
  command
    .command("list")
    .description("print those that sign or still verify, newest first")
    .action(async () => {
      const { signingKeyLines } = await loadServerWork();
      const lines = await signingKeyLines(server);
      if (lines.length === 0) say("There is none yet: the first is made with the first access token.");
      for (const line of lines) out(line);
    });
  command
    .command("rotate")
    .description("make a new one, also while the server runs, and print its id")
    .action(async () => {
      const { rotateSigningKey } = await loadServerWork();
      out(await rotateSigningKey(server));
    });
  return command;
}
