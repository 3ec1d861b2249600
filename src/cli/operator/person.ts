import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { harmless } from "../client/output.js";

/** The person at the terminal. */
export type Person = {
  /** Whether input and output are a terminal. */
  isThere: boolean;
  ask(question: string): Promise<string>;
  /** What is typed is not shown. One line. */
  askHidden(question: string): Promise<string>;
};

type Seat = {
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream & { isTTY?: boolean };
  /** Ctrl-C, which the terminal does not turn into a signal while a line is read. */
  interrupt: () => void;
};

/** The lines of a pasted text arrive one right after the other. */
const pasteMs = 50;

export function personAt({ input, output, interrupt }: Seat): Person {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  return {
    isThere: input.isTTY === true && output.isTTY === true,
    async ask(question) {
      const [answer = ""] = await readLines({ input, shown: output, interrupt, pasteMs: 0 }, () =>
        output.write(harmless(question)),
      );
      return answer.trim();
    },
    async askHidden(question) {
      const lines = await readLines({ input, shown: silent, interrupt, pasteMs }, () =>
        output.write(harmless(question)),
      );
      output.write("\n");
      // Taken line by line, a pasted key would be stored as its first line.
      if (lines.length > 1)
        throw new CommandFailure(exitCodes.usage, "That has several lines. Give it with --from-file FILE.");
      return lines[0] ?? "";
    },
  };
}

type Reading = Pick<Seat, "input" | "interrupt"> & { shown: NodeJS.WritableStream; pasteMs: number };

/** One line, and those that come with it. @throws CommandFailure when the input ends without any */
function readLines({ input, shown, interrupt, pasteMs }: Reading, ask: () => void): Promise<string[]> {
  const lines: string[] = [];
  const reader = createInterface({ input, output: shown, terminal: true, historySize: 0 });
  return new Promise((resolve, reject) => {
    reader.on("SIGINT", () => {
      reader.close();
      interrupt();
    });
    reader.on("line", (line) => {
      if (lines.push(line) === 1) setTimeout(() => reader.close(), pasteMs);
    });
    reader.on("close", () => {
      if (lines.length > 0) resolve(lines);
      else reject(new CommandFailure(exitCodes.usage, "No answer was given."));
    });
    ask();
  });
}

/**
 * Asks for confirmation.
 * @param what - what would happen, as a sentence
 * @throws CommandFailure when the answer is not yes, or there is no terminal
 */
export async function confirm(person: Person, yes: boolean | undefined, what: string): Promise<void> {
  if (yes === true) return;
  if (!person.isThere)
    throw new CommandFailure(
      exitCodes.usage,
      `${what} Not confirmed: no terminal. Pass \`--yes\` to skip the question.`,
    );
  const answer = await person.ask(`${what} Continue? [y/N] `);
  if (!/^y(es)?$/i.test(answer)) throw new CommandFailure(exitCodes.failed, "Not confirmed. Nothing was changed.");
}
