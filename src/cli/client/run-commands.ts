import { Command } from "commander";
import { CommandFailure, exitCodes } from "./command-failure.js";
import { withOptionsBehind } from "./leading-options.js";
import { writeErr, writeOut } from "./output.js";
import { ownVersion } from "./own-version.js";

/** Where the program itself speaks: help, and what went wrong. */
export type Speech = { out: (text: string) => void; err: (text: string) => void };

const standardStreams: Speech = {
  out: writeOut,
  err: writeErr,
};

/**
 * Runs the one of these commands that the arguments name.
 * @param commandsFor - makes the commands; a command that has an exit code of its own tells it to `finish`
 * @returns the exit code, as docs/cli.md lists them
 */
export async function runCommands(
  argv: readonly string[],
  commandsFor: (finish: (exitCode: number) => void) => readonly Command[],
  speech: Speech = standardStreams,
): Promise<number> {
  endWithReader();
  let exitCode: number = exitCodes.done;
  const finish = (code: number): void => {
    exitCode = code;
  };
  const program = programOf(commandsFor(finish));
  prepare(program, speech);
  try {
    await program.parseAsync(withOptionsBehind(program, argv), { from: "user" });
    return exitCode;
  } catch (error) {
    return exitCodeOf(error, speech);
  }
}

/**
 * Ends the program without a stack when its output goes nowhere. A reader that has seen enough (`| head`) ends it as
 * SIGPIPE ends other programs: with 0, a pipeline would take a check whose result nobody read for one that passed.
 */
function endWithReader(): void {
  if (process.stderr.listenerCount("error") === 0) process.stderr.on("error", () => undefined);
  if (process.stdout.listenerCount("error") > 0) return;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCodes.readerGone);
    writeErr(`The output cannot be written to where it was sent (${error.code ?? "unknown error"}).\n`);
    process.exit(exitCodes.failed);
  });
}

function programOf(commands: readonly Command[]): Command {
  const program = new Command("factory-secrets")
    .description("Secrets and short-lived registry tokens for device factories")
    // Commands have a --version of their own.
    .enablePositionalOptions()
    .version(ownVersion(), "--version", "print the version of this program")
    .addHelpText(
      "after",
      "\n--url, --factory, --ca-file, --timeout and --output may stand before the command or behind it.\n\nExample:\n  factory-secrets login --url https://secrets.example.com --factory acme\n  factory-secrets secrets list",
    );
  // Those that only programs use begin with an underscore.
  for (const command of commands) program.addCommand(command, { hidden: command.name().startsWith("_") });
  return program;
}

function prepare(command: Command, speech: Speech): void {
  command.configureOutput({ writeOut: speech.out, writeErr: speech.err });
  // commander would end the process itself.
  command.exitOverride((error) => {
    throw error;
  });
  for (const subcommand of command.commands) prepare(subcommand, speech);
}

function exitCodeOf(error: unknown, { err }: Speech): number {
  // commander has said what is wrong, or printed the help that was asked for.
  if (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    error.code.startsWith("commander.")
  ) {
    return /helpDisplayed|version|\.help$/.test(error.code) ? exitCodes.done : exitCodes.usage;
  }
  const isExpected = error instanceof CommandFailure;
  const message = error instanceof Error ? error.message : String(error);
  err(isExpected ? `${message}\n` : `It failed: ${message}\n`);
  return isExpected ? error.exitCode : exitCodes.failed;
}
