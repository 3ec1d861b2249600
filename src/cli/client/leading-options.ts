import type { Command } from "commander";

/** Options that most commands have, and people also write in front of the command. All of them take a value. */
export const movable: ReadonlySet<string> = new Set(["--url", "--factory", "--ca-file", "--timeout", "--output", "-o"]);

/**
 * Moves options that stand before or between the words of a command behind them, where the command reads them:
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
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) break;
    words.push(word);
    command = next;
  }
  // Behind the words, and so before a `--` and what follows it.
  return [...words, ...moved, ...argv.slice(at)];
}
