import type { Command, Option } from "commander";
import { type Kind, operandKind, valueKind } from "./named-things.js";

/** What can follow on a command line. */
export type Node = {
  /** What its first operand names. */
  operand: Kind | undefined;
  /** Names of the commands that lead here: `/secrets/set`; empty for the program itself. */
  path: string;
  subcommands: readonly { name: string; about: string }[];
  options: readonly Flag[];
};

export type Flag = {
  /** `--output`, `-o`. */
  names: readonly string[];
  about: string;
  /** A word must follow it. */
  takesValue: boolean;
  /** The words that may. */
  choices: readonly string[];
  /** It is the path of a file. */
  isFile: boolean;
  /** What its value names. */
  kind?: Kind | undefined;
};

const help: Flag = { names: ["--help", "-h"], about: "show help", takesValue: false, choices: [], isFile: false };

/** Every command of a program with what can follow it, itself first. */
export function commandTree(command: Command, path = ""): Node[] {
  const own: Node = {
    path,
    operand: operandKind(path),
    subcommands: visible(command).map((one) => ({ name: one.name(), about: one.description() })),
    options: [...command.options.map(flagOf), help],
  };
  return [own, ...visible(command).flatMap((one) => commandTree(one, `${path}/${one.name()}`))];
}

/** Programs alone use the commands that begin with an underscore. */
const visible = (command: Command): readonly Command[] => command.commands.filter((one) => !one.name().startsWith("_"));

function flagOf({ long, short, description, required, optional, argChoices, flags }: Option): Flag {
  return {
    names: [long, short].filter((name) => name !== undefined && name !== null),
    about: description,
    takesValue: required || optional,
    choices: argChoices ?? [],
    isFile: /<(file|path)(\.\.\.)?>$/.test(flags),
    kind: required ? valueKind(long ?? "") : undefined,
  };
}
