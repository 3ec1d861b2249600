import { homedir } from "node:os";
import type { Environment } from "../../settings/reader.js";
import { standardTerminal, type Terminal } from "../client/terminal.js";
import { readInput } from "./given-input.js";
import { type Person, personAt } from "./person.js";
import { mayColour, type Paint, paintFor } from "./print.js";
import { loginDirectory } from "./saved-logins.js";

/** What the commands of an operator work with. */
export type OperatorContext = {
  environment: Environment;
  terminal: Terminal;
  /** For what goes to `terminal.out`. */
  paint: Paint;
  person: Person;
  /** All of standard input. */
  readInput(): Promise<Buffer>;
  /** Where logins are kept. */
  loginDirectory: string;
};

export function openOperatorContext(environment: Environment): OperatorContext {
  const { stdin, stdout, stderr } = process;
  return {
    environment,
    terminal: standardTerminal(),
    paint: paintFor(mayColour(environment, stdout.isTTY === true)),
    person: personAt({ input: stdin, output: stderr, interrupt: () => process.kill(process.pid, "SIGINT") }),
    readInput: () => readInput(stdin, "The standard input"),
    loginDirectory: loginDirectory(environment, homedir()),
  };
}
