import { Command, Option } from "commander";
import type { ConnectionFlags } from "../client/client-settings.js";
import { exitCodes } from "../client/command-failure.js";
import { listAt, textAt } from "../client/json-value.js";
import { maskTexts, warnOfPrinting } from "../client/output.js";
import { outputForms } from "../client/print-document.js";
import { type CallOptions, call, hintsOfCommands, listAll } from "./call.js";
import type { OperationId } from "./generated/operations.js";
import { confirm, readValue, valueMembers } from "./given-input.js";
import { hasParameter, operationOf, typedValue, typeOfValue, type Values } from "./operation.js";
import { factoryOf, type Needs, type OperatorClient, type OperatorContext, openClient } from "./operator-client.js";
import { detailsOf, filledIn, isForProgram, type OutputFlags, printData, sayWarnings, tableOf } from "./print.js";

/** Opens the context of a command, and takes an exit code other than 0. */
export type CommandDeps = { open: () => OperatorContext; finish: (exitCode: number) => void };

/** What a command works with before it connects. */
export type LocalRun = {
  context: OperatorContext;
  operands: readonly string[];
  /** The options that were given, by their names in camel case. */
  given: <Flags extends object>() => Flags & Record<string, unknown>;
  /** Prints data as `--output`, `--json` and `--query` say, else the text for a person. */
  print: (data: unknown, text: () => string) => Promise<void>;
  isForProgram: boolean;
  finish: CommandDeps["finish"];
  /** Finds the service and the credential. @throws CommandFailure as `openClient` */
  connect: (needs?: Needs) => Promise<Run>;
};

/** What a command that calls the API works with. */
export type Run = LocalRun & { client: OperatorClient };

/** An operand or option: its form in commander (`<name>`, `--stage`), description, and where its value goes. */
export type Argument = readonly [form: string, about: string, use?: ArgumentUse];

type ArgumentUse = {
  /** The parameter or member of the operation; by default the argument's name in camel case. */
  to?: string;
  /** Turns the given text into the value. */
  read?: (given: string, run: Run) => unknown;
  /** The words that it may be. */
  choices?: readonly string[];
  isRequired?: true;
};

/** A sentence in which `{name}` is an argument or a member of the reply, or a function that makes one. */
type Sentence = string | ((shown: Values) => string);

export type Row = {
  /** As it is typed, with its operands: `secrets show <name>`. */
  words: string;
  about: string;
  operands?: readonly Argument[];
  options?: readonly Argument[];
  /** Further sentences for the help. */
  more?: string;
  /** Command lines that can be run, one a line; by default the words, with an example id. */
  example?: string;
  /** The operation to call with the arguments. */
  calls?: OperationId;
  /** The operation to call instead when no option is given. */
  showsWith?: OperationId;
  /** What to call and show instead, with this flag. */
  instead?: { flag: string; calls: OperationId; columns: string };
  /** Prompt for a secret value, which goes into the body. */
  value?: string;
  /** What would happen: asks for confirmation before the call. */
  confirm?: Sentence;
  /** The columns of a table, as `tableOf` takes them. */
  columns?: string;
  /** The member of the reply that holds the rows of the table. */
  list?: string;
  /** Printed instead of the members of the reply, or before its table. */
  prints?: Sentence;
  /** Printed on standard error. */
  says?: Sentence;
  /** The member of the reply with a credential, which is printed alone on a line. */
  shownOnce?: string;
  /** Whether the exit code is 1 for this reply. */
  isNo?: (reply: unknown) => boolean;
  hints?: CallOptions["hints"];
  /** Replaces `calls` where one call is not enough. */
  run?: (run: Run) => Promise<void>;
  /** The same, for a command that may not need the service. */
  runLocally?: (run: LocalRun) => Promise<void>;
};

export type Groups = Readonly<Record<string, readonly [about: string, example: string]>>;

/** The commands of a table, in its order. */
export function commandsOf(deps: CommandDeps, rows: readonly Row[], groups: Groups): Command[] {
  const root = new Command();
  for (const row of rows) {
    const words = row.words.split(" ").filter((word) => !isOperand(word));
    let parent = root;
    for (let depth = 1; depth < words.length; depth += 1) {
      const [about, example] = groups[words.slice(0, depth).join(" ")] ?? ["", ""];
      const name = words[depth - 1] ?? "";
      const existing = parent.commands.find((one) => one.name() === name);
      const group = existing ?? groupOf(name, about, example);
      if (existing === undefined) parent.addCommand(group);
      parent = group;
    }
    parent.addCommand(commandOf(deps, row));
  }
  return [...root.commands];
}

const isOperand = (word: string): boolean => /^[<[]/.test(word);

const knownOperands: readonly Argument[] = [
  ["<name>", "its name"],
  ["<id>", "its id"],
  ["<version>", "its number"],
];

/** The operands of a row, in the order of its words. */
export const operandsOf = ({ words, operands = [] }: Row): readonly Argument[] =>
  words
    .split(" ")
    .filter(isOperand)
    .map((form) => [...operands, ...knownOperands].find(([one]) => one === form) ?? [form, ""]);

export const groupOf = (name: string, about: string, example: string): Command =>
  new Command(name).description(about).addHelpText("after", exampleText(example));

export const exampleId = "018f3c1e-0000-7000-8000-000000000000";

const exampleText = (lines: string): string => `\nExample:\n${lines.replace(/^/gm, "  ")}`;

/** The command of a row, by the last of its words. */
export function commandOf(deps: CommandDeps, row: Row): Command {
  const { words, about, more } = row;
  const { example = `factory-secrets ${words.replaceAll("<id>", exampleId)}` } = row;
  const name = words.split(" ").findLast((word) => !isOperand(word));
  const command = new Command(name).description(about);
  for (const [form, what] of operandsOf(row)) command.argument(form, what);
  for (const argument of optionsOf(row)) command.addOption(optionOf(argument));
  command
    .addOption(new Option("-o, --output <form>", "how to print it; table by default").choices(outputForms))
    .option("--json", "the same as --output json")
    .option("--query <expression>", "print only what this JMESPath expression selects of the JSON")
    .option("--url <url>", "where the service is (FACTORY_SECRETS_URL, or the login)")
    .option("--factory <name>", "name of the factory (FACTORY_SECRETS_FACTORY, or the login)")
    .option("--ca-file <path>", "further authorities to trust, PEM (FACTORY_SECRETS_CA_FILE, or the login)")
    .option("--timeout <seconds>", "how long to retry; 60 by default");
  return command
    .addHelpText("after", `${more === undefined ? "" : `\n${more}\n`}${exampleText(example)}`)
    .action(() => start(deps, row, command));
}

function optionsOf({ options = [], value, confirm: asks }: Row): readonly Argument[] {
  return [
    ...(value === undefined ? [] : [fromFile]),
    ...options,
    ...(asks === undefined ? [] : [["-y, --yes", "do not ask for confirmation"] as const]),
  ];
}

const fromFile: Argument = ["--from-file <file>", "the value, byte for byte; - is standard input"];

function optionOf([form, about, { choices, isRequired } = {}]: Argument): Option {
  const option = new Option(form, about).makeOptionMandatory(isRequired === true);
  if (choices) option.choices(choices);
  if (about.endsWith("may be repeated"))
    option.argParser<readonly string[]>((value, earlier = []) => [...earlier, value]);
  return option;
}

async function start(deps: CommandDeps, row: Row, command: Command): Promise<void> {
  const context = deps.open();
  const flags = command.opts<OutputFlags & ConnectionFlags>();
  const local: LocalRun = {
    context,
    operands: command.args,
    given: <Flags extends object>() => command.opts<Flags & Record<string, unknown>>(),
    print: (data, text) => printData(context.terminal, flags, data, text),
    isForProgram: isForProgram(flags),
    finish: deps.finish,
    connect: async (needs) => ({ ...local, client: await openClient(context, flags, needs) }),
  };
  if (row.runLocally) return row.runLocally(local);
  const run = await local.connect();
  if (row.run) await row.run(run);
  else if (row.calls) await runCall(run, row, row.calls);
}

async function runCall(run: Run, row: Row, id: OperationId): Promise<void> {
  const { context, client } = run;
  // A missing factory is reported before a prompt.
  if (hasParameter(id, "factory") && !operandsOf(row).some(([, , use]) => use?.to === "factory")) factoryOf(client);
  const { instead, ...plain } = row;
  if (instead !== undefined && run.given()[instead.flag] === true)
    return runCall(run, { ...plain, options: [], ...instead }, instead.calls);
  const { values, shown } = await readArguments(run, row, id);
  if (row.showsWith !== undefined && Object.keys(values).length === 0) {
    const { showsWith, ...others } = row;
    return runCall(run, others, showsWith);
  }
  if (row.confirm !== undefined)
    await confirm(context.person, run.given<{ yes?: boolean }>().yes, sentenceOf(row.confirm, shown));
  const sent = { ...values, ...(await readSecret(run, row, shown)) };
  if (hasParameter(id, "pageToken")) return printList(run, id, row.columns ?? "", sent);
  const hints = Object.entries(row.hints ?? {}).map(([part, hint]) => [part, filledIn(hint, shown)]);
  const { status, body } = await call(client, id, sent, {
    hints: { ...hintsOfCommands, ...Object.fromEntries(hints) },
  });
  sayWarnings(context.terminal, body);
  const all = { ...shown, ...(typeof body === "object" ? body : {}), status };
  // A deletion has no reply, so what was deleted is printed.
  if (operationOf(id).reply === undefined) {
    if (run.isForProgram) await run.print(values, () => "");
  } else if (row.shownOnce !== undefined) {
    await printCredential(run, body, row.shownOnce, sentenceOf(row.says ?? "", all));
    return;
  } else if (row.prints !== undefined || row.says === undefined || run.isForProgram)
    await run.print(body, () => textOf(run, row, body, all));
  if (row.says !== undefined) context.terminal.say(sentenceOf(row.says, all));
  if (row.isNo?.(body)) run.finish(exitCodes.failed);
}

function textOf({ context }: Run, { prints, columns, list = "items" }: Row, body: unknown, shown: Values): string {
  const items = listAt(body, list);
  const table = columns === undefined ? detailsOf(body) : tableOf(context.paint, items, columns);
  if (prints === undefined) return table;
  const sentence = sentenceOf(prints, shown);
  return columns === undefined || items.length === 0 ? sentence : `${sentence}\n\n${table}`;
}

const sentenceOf = (sentence: Sentence, shown: Values): string =>
  typeof sentence === "string" ? filledIn(sentence, shown) : sentence(shown);

/** `values` for the operation, by its names; `shown` has all given arguments, by their own names too. */
async function readArguments(run: Run, row: Row, id: OperationId): Promise<{ values: Values; shown: Values }> {
  const given = run.given();
  const operation = operationOf(id);
  const values: Record<string, unknown> = {};
  const shown: Record<string, unknown> = {};
  const place = async ([form, , use = {}]: Argument, found: unknown): Promise<void> => {
    const own = nameOf(form);
    const name = use.to ?? own;
    shown[own] = found;
    if (found === undefined || (row.value !== undefined && own === "value")) return;
    const { read } = use;
    const type = typeOfValue(operation, name) ?? "text";
    if (read === undefined) values[name] = typeof found === "string" ? typedValue(type, found, form) : found;
    else if (Array.isArray(found)) values[name] = await Promise.all(found.map((one) => read(one, run)));
    else values[name] = await read(String(found), run);
  };
  for (const [index, operand] of operandsOf(row).entries()) await place(operand, run.operands[index]);
  for (const option of row.options ?? []) await place(option, given[nameOf(option[0])]);
  return { values, shown: { ...shown, ...values } };
}

/** `<secret-id>` and `--secret-id <id>` are secretId, `--no-stage` is stage. */
export function nameOf(form: string): string {
  const [, name = ""] = /^(?:-\w, )?(?:--(?:no-)?|[<[])([\w-]+)/.exec(form) ?? [];
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

async function readSecret(run: Run, row: Row, shown: Values): Promise<Values> {
  if (row.value === undefined) return {};
  const { fromFile: path } = run.given<{ fromFile?: string }>();
  const argument = operandsOf(row).findIndex(([form]) => nameOf(form) === "value");
  const source = { fromFile: path, argument: run.operands[argument] };
  return valueMembers(await readValue(run.context, source, filledIn(row.value, shown)));
}

async function printList(run: Run, id: OperationId, columns: string, values: Values = {}): Promise<void> {
  const items = await listAll(run.client, id, values);
  await run.print({ items }, () => tableOf(run.context.paint, items, columns));
}

/**
 * Prints a credential that is shown only once: alone on a line, to be captured, or within the whole reply.
 * @param member - the member of the reply with the credential
 */
async function printCredential(run: Run, reply: unknown, member: string, sentence: string): Promise<void> {
  const { environment, terminal } = run.context;
  const credential = textAt(reply, member) ?? "";
  maskTexts(environment, terminal, [credential]);
  warnOfPrinting(environment, terminal);
  terminal.say(`${sentence} The credential is shown only now.`);
  await run.print(reply, () => credential);
}
