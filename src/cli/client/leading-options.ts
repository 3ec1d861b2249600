import type { Command } from "commander";

/** Options of most commands that may also come before the command. All of them take a value. */
export const movable: ReadonlySet<string> = new Set([
  ...["--url", "--factory", "--ca-file", "--timeout", "--output", "-o", "--query"],
]);
const movableFlags: ReadonlySet<string> = new Set(["--json"]);

/** The words without such options and their values. */
export function withoutMovable(argv: readonly string[]): string[] {
  return argv.filter((word, index) => {
    const [name = ""] = word.split("=", 1);
    return !movable.has(name) && !movableFlags.has(word) && !movable.has(argv[index - 1] ?? "");
  });
}

/**
 * Moves options that come before or between the words of a command behind them, where the command reads them:
 * `--factory acme secrets list` is `secrets list --factory acme`.
 */
export function withOptionsBehind(program: Command, argv: readonly string[]): string[] {
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
  // Before a `--` and what follows it.
  return [...words, ...moved, ...argv.slice(at)];
}

/** Whether nothing but the commands of a job is needed. The others take longer to load. */
export function isForJob(jobCommands: readonly Command[], argv: readonly string[]): boolean {
  const [first] = withoutMovable(argv);
  return first === "--version" || jobCommands.some((command) => command.name() === first);
}
