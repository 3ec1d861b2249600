import { Command, Option } from "commander";
import type { ConnectionFlags } from "../client/client-settings.js";
import { outputForms } from "../client/print-document.js";
import { type OperatorClient, openClient } from "./operator-client.js";
import type { OperatorContext } from "./operator-context.js";
import type { OutputFlags } from "./print-reply.js";

/** How the commands come by what they work with, and where an exit code of their own goes. */
export type CommandDeps = { open: () => OperatorContext; finish: (exitCode: number) => void };

/** One command, as help shows it. */
export type Declaration = {
  name: string;
  about: string;
  /** Name in the form of commander (`<name>`, `[name]`, `<name...>`) and what it is. */
  operands?: readonly (readonly [string, string])[];
  /** Flags in the form of commander and what they do. */
  options?: readonly (readonly [string, string])[];
  /** Flags that must be given. */
  required?: readonly (readonly [string, string])[];
  /** Options that take one of several words. */
  choices?: readonly (readonly [flags: string, about: string, words: readonly string[]])[];
  /** Has `--output`. */
  prints?: boolean;
  /** What more there is to know, in whole sentences. */
  more?: string;
  /** Commands that can be run as they stand, one a line. */
  example: string;
};

/** What a command works with. Its exit code is 0 unless it tells `finish` another. */
export type Run = { context: OperatorContext; client: OperatorClient; finish: CommandDeps["finish"] };

export type ServiceWork<Flags> = (run: Run, flags: Flags, operands: readonly string[]) => Promise<void>;

export type LocalWork<Flags> = (context: OperatorContext, flags: Flags, operands: readonly string[]) => Promise<void>;

/** A command that asks the service. */
export function serviceCommand<Flags = object>(
  deps: CommandDeps,
  declaration: Declaration,
  work: ServiceWork<Flags & OutputFlags>,
): Command {
  const local: LocalWork<Flags & OutputFlags & ConnectionFlags> = async (context, flags, operands) =>
    work({ context, client: await openClient(context, flags), finish: deps.finish }, flags, operands);
  return withConnection(bare(declaration)).action(actionOf(deps, local));
}

/** A command that may ask nobody. `connects` gives it the options that say whom. */
export function localCommand<Flags = object>(
  deps: CommandDeps,
  declaration: Declaration & { connects?: boolean },
  work: LocalWork<Flags & OutputFlags>,
): Command {
  const command = bare(declaration);
  return (declaration.connects ? withConnection(command) : command).action(actionOf(deps, work));
}

/** Commands about one thing. */
export function group(name: string, about: string, commands: readonly Command[], example: string): Command {
  const command = new Command(name).description(about).addHelpText("after", exampleText(example));
  for (const one of commands) command.addCommand(one);
  return command;
}

/** For options that may be repeated. */
export const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];

function bare(declaration: Declaration): Command {
  const { name, about, operands = [], required = [], options = [], choices = [], prints, more, example } = declaration;
  const command = new Command(name).description(about);
  for (const [operand, what] of operands) command.argument(operand, what);
  for (const [flags, what] of required) command.requiredOption(flags, what);
  for (const [flags, what] of options) {
    if (what.endsWith("may be repeated")) command.option(flags, what, collect);
    else command.option(flags, what);
  }
  for (const [flags, what, words] of choices) command.addOption(new Option(flags, what).choices(words));
  if (prints === true)
    command.addOption(new Option("-o, --output <form>", "how to print it").choices(outputForms).default("table"));
  return command.addHelpText("after", `${more === undefined ? "" : `\n${more}\n`}${exampleText(example)}`);
}

const exampleText = (lines: string): string => `\nExample:\n${lines.replace(/^/gm, "  ")}`;

function withConnection(command: Command): Command {
  return command
    .option("--url <url>", "where the service is (FACTORY_SECRETS_URL, or the login)")
    .option("--factory <name>", "whose factory (FACTORY_SECRETS_FACTORY, or the login)")
    .option("--ca-file <path>", "further authorities to trust, PEM (FACTORY_SECRETS_CA_FILE, or the login)")
    .option("--timeout <seconds>", "how long to keep trying; 60 by default");
}

function actionOf<Flags>({ open }: CommandDeps, work: LocalWork<Flags>) {
  return async (...given: unknown[]): Promise<void> => {
    const command = given.at(-1);
    if (!(command instanceof Command)) return;
    await work(open(), command.opts<Flags & Record<string, unknown>>(), command.args);
  };
}
