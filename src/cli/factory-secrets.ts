import { Command } from "commander";
import { openContext } from "./ci/command-context.js";
import { CommandFailure } from "./ci/command-failure.js";
import { jobCommands } from "./ci/job-commands.js";

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const out = (line: string): void => void process.stdout.write(`${line}\n`);

/** The server's own parts take long to load, and a job has no use for them. */
const loadServerWork = () => import("./server-work.js");
const server = { environment: process.env, say };

/**
 * Runs the command line.
 * @returns the exit code: 0 done, 1 could not be done, 2 wrong usage, and for the commands of a job those of docs/ci.md
 */
export async function run(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command("factory-secrets").description(
    "Secrets and short-lived registry tokens for device factories",
  );
  program.addCommand(operatorTokenCommand());
  program.addCommand(signingKeysCommand());
  const finish = (code: number): void => {
    exitCode = code;
  };
  for (const command of jobCommands(() => openContext(process.env), finish)) program.addCommand(command);
  throwInsteadOfExit(program);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    return exitCodeOf(error);
  }
}

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
      for (const line of await signingKeyLines(server)) out(line);
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

function throwInsteadOfExit(command: Command): void {
  command.exitOverride((error) => {
    throw error;
  });
  for (const subcommand of command.commands) throwInsteadOfExit(subcommand);
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
  if (error instanceof CommandFailure) {
    say(error.message);
    return error.exitCode;
  }
  say(`It failed: ${error instanceof Error ? error.message : String(error)}`);
  return 1;
}
