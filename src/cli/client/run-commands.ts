import { Command, CommanderError } from "commander";
import { systemReason } from "../../core/error-code.js";
import { nearestName } from "../../core/nearest-name.js";
import { oneLine } from "../../core/visible-text.js";
import { CommandFailure, exitCodes } from "./command-failure.js";
import { writeErr, writeOut } from "./output.js";
import { ownVersion } from "./own-version.js";

/** Where the program itself writes: help and errors. */
export type Streams = { out: (text: string) => void; err: (text: string) => void };

const standardStreams: Streams = {
  out: writeOut,
  err: writeErr,
};

/**
 * Runs the command that the arguments name.
 * @param commandsFor - makes the commands; a command passes an exit code other than 0 to `finish`
 * @returns the exit code, as docs/cli.md lists them
 */
export async function runCommands(
  argv: readonly string[],
  commandsFor: (finish: (exitCode: number) => void) => readonly Command[] | Promise<readonly Command[]>,
  streams: Streams = standardStreams,
): Promise<number> {
  endWithReader();
  let exitCode: number = exitCodes.done;
  const finish = (code: number): void => {
    exitCode = code;
  };
  const program = programOf(await commandsFor(finish));
  prepare(program, streams);
  try {
    const words = withOptionsLast(program, argv);
    refuseUnknown(program, words);
    await program.parseAsync(words, { from: "user" });
    return exitCode;
  } catch (error) {
    return exitCodeOf(error, streams);
  }
}

/**
 * Ends the program without a stack when its output cannot be written. A closed pipe (`| head`) gives 141, as SIGPIPE
 * does: with 0 a pipeline would take a check whose result was not read for a passed one.
 */
function endWithReader(): void {
  if (process.stderr.listenerCount("error") === 0) process.stderr.on("error", () => undefined);
  if (process.stdout.listenerCount("error") > 0) return;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCodes.readerGone);
    writeErr(`The output cannot be written (${systemReason(error)}).\n`);
    process.exit(exitCodes.failed);
  });
}

function programOf(commands: readonly Command[]): Command {
  const program = new Command("factory-secrets")
    .description("Secrets and short-lived registry tokens for device factories")
    // Some commands have their own --version.
    .enablePositionalOptions()
    .version(ownVersion(), "--version", "print the version of this program")
    .addHelpText(
      "after",
      "\n--url, --factory, --ca-file, --timeout, --output, --json and --query may come before the command or after it.\n\nExample:\n  factory-secrets login --url https://secrets.example.com --factory acme\n  factory-secrets secrets list",
    );
  // Commands for programs only begin with an underscore.
  for (const command of commands) program.addCommand(command, { hidden: command.name().startsWith("_") });
  return program;
}

function prepare(command: Command, streams: Streams): void {
  command.configureOutput({ writeOut: streams.out, writeErr: streams.err });
  // commander would end the process itself.
  command.exitOverride((error) => {
    throw error;
  });
  for (const subcommand of command.commands) prepare(subcommand, streams);
}

/** Other words that people type for a command. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  ls: ["list"],
  get: ["show"],
  describe: ["show"],
  delete: ["rm"],
  remove: ["rm"],
  create: ["add", "open", "set", "put"],
  add: ["create", "open", "set", "put"],
  update: ["set", "put", "edit"],
  revoke: ["rm", "deny", "end"],
};

/**
 * Refuses an unknown command, before commander complains about its options.
 * @throws CommandFailure with the nearest command
 */
function refuseUnknown(program: Command, argv: readonly string[]): void {
  let command = program;
  const path: string[] = [];
  for (const word of withoutMovable(argv)) {
    if (command.commands.length === 0 || word.startsWith("-") || word === "help") return;
    const names = command.commands.map((one) => one.name()).filter((name) => !name.startsWith("_"));
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) {
      const meant = nearestName(word, names) ?? synonyms[word.toLowerCase()]?.find((one) => names.includes(one));
      const hint = meant === undefined ? "" : ` Did you mean \`${[...path, meant].join(" ")}\`?`;
      throw new CommandFailure(
        exitCodes.usage,
        `Unknown command \`${oneLine([...path, word].join(" "))}\`.${hint} To see all: ${["factory-secrets", ...path].join(" ")} --help`,
      );
    }
    path.push(word);
    command = next;
  }
}

function exitCodeOf(error: unknown, { err }: Streams): number {
  // commander has printed the error or the help. A group without a command prints help and fails.
  if (error instanceof CommanderError) return error.exitCode === 0 || isHelp(error) ? error.exitCode : exitCodes.usage;
  const isExpected = error instanceof CommandFailure;
  const message = error instanceof Error ? error.message : String(error);
  err(isExpected ? `${message}\n` : `Unexpected error: ${message}\n`);
  return isExpected ? error.exitCode : exitCodes.failed;
}

const isHelp = ({ code }: CommanderError): boolean => code === "commander.help";

/** Options with a value that may come before the command too. */
export const movable: ReadonlySet<string> = new Set([
  ...["--url", "--factory", "--ca-file", "--timeout", "--output", "-o", "--query"],
]);
const movableFlags: ReadonlySet<string> = new Set(["--json"]);

/** The words without those options and their values. */
export function withoutMovable(argv: readonly string[]): string[] {
  return argv.filter((word, index) => {
    const [name = ""] = word.split("=", 1);
    return !movable.has(name) && !movableFlags.has(word) && !movable.has(argv[index - 1] ?? "");
  });
}

/**
 * Moves those options from before the words of a command to after them, where the command reads them:
 * `--factory acme secrets list` is `secrets list --factory acme`.
 */
export function withOptionsLast(program: Command, argv: readonly string[]): string[] {
  const moved: string[] = [];
  const words: string[] = [];
  let command = program;
  let at = 0;
  for (; at < argv.length && command.commands.length > 0; at += 1) {
    const word = argv[at] ?? "";
    const [name = ""] = word.split("=", 1);
    if (movable.has(name)) {
      const value = word.includes("=") ? [] : argv.slice(at + 1, at + 2);
      moved.push(word, ...value);
      at += value.length;
      continue;
    }
    if (movableFlags.has(word)) {
      moved.push(word);
      continue;
    }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) break;
    words.push(word);
    command = next;
  }
  // Before `--` and what follows it.
  return [...words, ...moved, ...argv.slice(at)];
}

/** Whether the commands of a job suffice. The others take longer to load. */
export function isForJob(jobCommands: readonly Command[], argv: readonly string[]): boolean {
  const [first] = withoutMovable(argv);
  return first === "--version" || jobCommands.some((command) => command.name() === first);
}
