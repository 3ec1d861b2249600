import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommands } from "../../../../src/cli/client/run-commands.js";
import { auditCommands } from "../../../../src/cli/operator/audit-commands.js";
import type { OperatorContext } from "../../../../src/cli/operator/operator-client.js";
import { operatorCommands } from "../../../../src/cli/operator/operator-commands.js";
import { paintFor } from "../../../../src/cli/operator/print.js";
import { recordText } from "../../../support/leak-watch.js";

export type Said = { exitCode: number; out: string; err: string };

/** Where an operator sits: an environment, a folder for logins, and perhaps a person at a terminal. */
export type OperatorDesk = {
  directory: string;
  environment: Record<string, string>;
  /** What is piped in; without it, nothing is. */
  run(args: readonly string[], input?: string | Buffer): Promise<Said>;
  /** With a person at the terminal who gives these answers. */
  runWith(answers: readonly string[], args: readonly string[]): Promise<Said & { asked: readonly string[] }>;
  close(): void;
};

/** Runs commands in this process, by the same commands that the program has. */
export function openOperatorDesk(environment: Record<string, string>): OperatorDesk {
  const directory = mkdtempSync(join(tmpdir(), "operator-desk-"));
  const desk = { PATH: process.env.PATH ?? "", ...environment };
  const start = async (
    args: readonly string[],
    given: Pick<OperatorContext, "person" | "readInput">,
  ): Promise<Said> => {
    let out = "";
    let err = "";
    const context: OperatorContext = {
      environment: desk,
      terminal: {
        out: (line) => {
          out += `${line}\n`;
        },
        say: (line) => {
          err += `${line}\n`;
        },
        command: (line) => {
          err += `${line}\n`;
        },
        note: (line) => {
          if (given.person.isAtTerminal) err += `${line}\n`;
        },
      },
      paint: paintFor(false),
      loginDirectory: join(directory, "logins"),
      ...given,
    };
    const speech = {
      out: (text: string) => {
        out += text;
      },
      err: (text: string) => {
        err += text;
      },
    };
    const exitCode = await runCommands(
      args,
      (finish) => {
        const deps = { open: () => context, finish };
        return [...operatorCommands(deps), auditCommands(deps)];
      },
      speech,
    );
    recordText(`${out}\n${err}`);
    return { exitCode, out, err };
  };
  const noPerson = { isAtTerminal: false, ask: () => noAnswer("ask"), askHidden: () => noAnswer("askHidden") };
  return {
    directory,
    environment: desk,
    run: (args, input = "") => start(args, { person: noPerson, readInput: () => Promise.resolve(Buffer.from(input)) }),
    async runWith(answers, args) {
      const asked: string[] = [];
      const left = [...answers];
      const ask = (question: string): Promise<string> => {
        asked.push(question);
        const answer = left.shift();
        return answer === undefined ? noAnswer(question) : Promise.resolve(answer);
      };
      const said = await start(args, {
        person: { isAtTerminal: true, ask, askHidden: ask },
        readInput: () => noAnswer("standard input"),
      });
      return { ...said, asked };
    },
    close: () => rmSync(directory, { recursive: true, force: true }),
  };
}

const noAnswer = (question: string): Promise<never> => Promise.reject(new Error(`no answer is given to: ${question}`));
