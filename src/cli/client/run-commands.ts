import { Command } from "commander";
import { CommandFailure, exitCodes } from "./command-failure.js";

/**
 * Runs the one of these commands that the arguments name.
 * @param commandsFor - makes the commands; a command that has an exit code of its own tells it to `finish`
 * @returns the exit code: 0 done, 1 could not be done, 2 wrong usage, and for the commands of a job those of docs/ci.md
 */
export async function runCommands(
  argv: readonly string[],
  commandsFor: (finish: (exitCode: number) => void) => readonly Command[],
): Promise<number> {
  let exitCode: number = exitCodes.done;
  const program = new Command("factory-secrets").description(
    "Secrets and short-lived registry tokens for device factories",
  );
  const finish = (code: number): void => {
    exitCode = code;
  };
  for (const command of commandsFor(finish)) program.addCommand(command);
  throwInsteadOfExit(program);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    return exitCodeOf(error);
  }
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
    return /helpDisplayed|version|\.help$/.test(error.code) ? exitCodes.done : exitCodes.usage;
  }
  const isExpected = error instanceof CommandFailure;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(isExpected ? `${message}\n` : `It failed: ${message}\n`);
  return isExpected ? error.exitCode : exitCodes.failed;
}
