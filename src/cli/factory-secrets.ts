import { Command } from "commander";
import { auditCommand } from "./audit/commands.js";
import { backupCommands } from "./backup/commands.js";
import { openContext } from "./ci/command-context.js";
import { jobCommands } from "./ci/job-commands.js";
import { runCommands } from "./client/run-commands.js";
import { completionCommand } from "./completion/command.js";
import { keysCommand } from "./keys/commands.js";
import { tailCommand } from "./operator/audit-tail.js";
import { operatorCommands } from "./operator/operator-commands.js";
import { openOperatorContext } from "./operator/operator-context.js";

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const out = (line: string): void => void process.stdout.write(`${line}\n`);

/** The server's own parts take long to load, and a job has no use for them. */
const loadServerWork = () => import("./server-work.js");
const server = { environment: process.env, say };

/** Runs the command line. @returns the exit code, as `runCommands` says */
export const run = (argv: readonly string[]): Promise<number> =>
  runCommands(argv, (finish) => {
    const operator = { open: () => openOperatorContext(process.env), finish };
    return [
      ...jobCommands(() => openContext(process.env), finish),
      ...operatorCommands(operator),
      auditCommand(server).addCommand(tailCommand(operator)),
      operatorTokenCommand(),
      signingKeysCommand(),
      keysCommand(server),
      ...backupCommands(server),
      completionCommand(),
    ];
  });

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
  const command = new Command("signing-keys")
    .description("the keys that access tokens are signed with")
    .addHelpText("after", "\nExample:\n  npx factory-secrets signing-keys list");
  command
    .command("list")
    .description("print those that sign or still verify, newest first")
    .addHelpText("after", "\nExample:\n  npx factory-secrets signing-keys list")
    .action(async () => {
      const { signingKeyLines } = await loadServerWork();
      const lines = await signingKeyLines(server);
      if (lines.length === 0) say("There is none yet: the first is made with the first access token.");
      for (const line of lines) out(line);
    });
  command
    .command("rotate")
    .description("make a new one, also while the server runs, and print its id")
    .addHelpText("after", "\nExample:\n  npx factory-secrets signing-keys rotate")
    .action(async () => {
      const { rotateSigningKey } = await loadServerWork();
      out(await rotateSigningKey(server));
    });
  return command;
}
