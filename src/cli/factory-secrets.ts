import { Command, Option } from "commander";
import { auditCommand } from "./audit/commands.js";
import { backupCommands } from "./backup/commands.js";
import { openContext } from "./ci/command-context.js";
import { jobCommands } from "./ci/job-commands.js";
import { runCommands } from "./client/run-commands.js";
import { standardTerminal } from "./client/terminal.js";
import { completionCommand } from "./completion/command.js";
import { completeCommand } from "./completion/complete-command.js";
import { keysCommand } from "./keys/commands.js";
import { tailCommand } from "./operator/audit-tail.js";
import { operatorCommands } from "./operator/operator-commands.js";
import { openOperatorContext } from "./operator/operator-context.js";
import type { ReplaceInput } from "./signing-keys.js";

const { say, out } = standardTerminal();

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
      completeCommand(operator.open),
    ];
  });

function operatorTokenCommand(): Command {
  return new Command("operator-token")
    .description("make a new operator token and print it, alone on a line")
    .option("--name <name>", "what to call it", "command line")
    .addHelpText(
      "after",
      "\nIt uses the settings of the server (DATABASE_URL, or the data directory), also while the server runs.\n\nExample:\n  export FACTORY_SECRETS_TOKEN=$(npx factory-secrets operator-token)",
    )
    .action(async ({ name }: { name: string }) => {
      const { makeOperatorToken } = await loadServerWork();
      out(await makeOperatorToken(server, name));
    });
}

function signingKeysCommand(): Command {
  const command = new Command("signing-keys")
    .description("the keys that access tokens, and what the clouds take in place of secrets, are signed with")
    .addHelpText("after", "\nExample:\n  npx factory-secrets signing-keys list");
  command
    .command("list")
    .description("print those that sign, wait for their turn or still verify, newest first")
    .addHelpText("after", "\nExample:\n  npx factory-secrets signing-keys list")
    .action(async () => {
      const { signingKeyLines } = await loadServerWork();
      const lines = await signingKeyLines(server);
      if (lines.length === 0) say("There is none yet: each is made when it is first needed.");
      for (const line of lines) out(line);
    });
  command
    .command("rotate")
    .description("make a new one, also while the server runs, and print its id")
    .addOption(
      new Option(
        "--purpose <purpose>",
        "what it signs: access tokens, what the clouds take in place of secrets, or tokens of the relay",
      )
        .choices(["api-access", "federation", "relay"])
        .default("api-access"),
    )
    .option("--compromised", "the present one may be known to others: take it out of use at once")
    .addHelpText(
      "after",
      "\nA key for federation is published for two days before it signs, because clouds cache the published keys.\nWith --compromised it signs at once; a cloud that has not fetched it yet refuses it for a while.\n\nExample:\n  npx factory-secrets signing-keys rotate --purpose federation",
    )
    .action(async (options: { purpose: ReplaceInput["purpose"]; compromised?: true }) => {
      const { rotateSigningKey } = await loadServerWork();
      const input = { purpose: options.purpose, isCompromised: options.compromised ?? false };
      const { keyId, signsFrom } = await rotateSigningKey(server, input);
      out(keyId);
      if (signsFrom) say(`It is published now and signs from ${signsFrom.toISOString()}.`);
    });
  return command;
}
