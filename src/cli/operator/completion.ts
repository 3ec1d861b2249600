import { Argument, Command, type Option } from "commander";
import { listAt, textAt } from "../client/json-value.js";
import { type Terminal, writeOut } from "../client/output.js";
import { movable } from "../client/run-commands.js";
import { call } from "./call.js";
import { bashScript, fishScript, zshScript } from "./completion-scripts.js";
import { operationIds } from "./operation.js";
import { type OperatorContext, openClient } from "./operator-client.js";

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

type Shell = keyof typeof scripts;

const shells: readonly Shell[] = ["bash", "zsh", "fish"];

/** `completion`: prints a script that completes all commands of the program that it was added to. */
export function completionCommand(): Command {
  return new Command("completion")
    .description("print a script that completes commands, options and names in your shell")
    .addArgument(new Argument("<shell>", "your shell").choices(shells))
    .addHelpText(
      "after",
      "\nExample:\n  source <(factory-secrets completion bash)\n  factory-secrets completion fish > ~/.config/fish/completions/factory-secrets.fish",
    )
    .action((shell: Shell, _flags: unknown, command: Command) => {
      const program = command.parent;
      if (program) writeOut(scripts[shell](program.name(), commandTree(program)));
    });
}

/** What can follow on a command line. */
export type Node = {
  operand: Kind | undefined;
  /** Path of the command, such as `/secrets/set`; empty for the program. */
  path: string;
  subcommands: readonly { name: string; about: string }[];
  options: readonly Flag[];
};

export type Flag = {
  names: readonly string[];
  about: string;
  takesValue: boolean;
  choices: readonly string[];
  /** The value is the path of a file. */
  isFile: boolean;
  kind?: Kind | undefined;
};

const help: Flag = { names: ["--help", "-h"], about: "show help", takesValue: false, choices: [], isFile: false };

/** A command and all commands below it. */
export function commandTree(command: Command, path = ""): Node[] {
  const own: Node = {
    path,
    operand: operandKind(path),
    subcommands: visible(command).map((one) => ({ name: one.name(), about: one.description() })),
    options: [...command.options.map(flagOf), help],
  };
  return [own, ...visible(command).flatMap((one) => commandTree(one, `${path}/${one.name()}`))];
}

/** Commands that begin with an underscore are for programs. */
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

/** A person waits for the completion. */
const giveUpAfterMs = 2_000;
const maxPages = 5;

const silent: Terminal = {
  out: () => undefined,
  say: () => undefined,
  note: () => undefined,
  command: () => undefined,
};

/**
 * `__complete`: gives names to the completion scripts, one a line. It prints nothing when the service does not answer.
 */
export function completeCommand(open: () => OperatorContext): Command {
  return new Command("__complete")
    .addArgument(new Argument("<where>", "operand:PATH of a command, or value:OPTION"))
    .addArgument(new Argument("[words...]", "what was typed so far"))
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (where: string, words: readonly string[], _flags: unknown, command: Command) => {
      const kind = command.parent ? kindAt(command.parent, where, words) : undefined;
      if (kind === undefined) return;
      const names = await namesOf(open(), kind, words).catch(() => []);
      writeOut(names.map((name) => `${name}\n`).join(""));
    });
}

function kindAt(program: Command, where: string, words: readonly string[]): Kind | undefined {
  const [, form, what = ""] = /^(operand|value):(.+)$/.exec(where) ?? [];
  if (form === "value") return valueKind(what);
  const { command, operands } = typedSoFar(program, words);
  return operands === 0 || command.registeredArguments[0]?.variadic === true ? operandKind(what) : undefined;
}

/** The command that the words name, and the number of its operands so far. */
function typedSoFar(program: Command, words: readonly string[]): { command: Command; operands: number } {
  let command = program;
  let operands = 0;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    const next = operands === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (next !== undefined) command = next;
    else if (word.startsWith("-")) at += valueLength(command, word, words[at + 1]);
    // bash splits `aws:us-east-2` into three words.
    else if (word === ":") at += 1;
    else operands += 1;
  }
  return { command, operands };
}

/** How many words after an option are its value. */
function valueLength({ options }: Command, word: string, next: string | undefined): number {
  if (word.includes("=")) return 0;
  const option = options.find(({ long, short }) => long === word || short === word);
  const takesValue = option?.required === true || movable.has(word);
  if (!takesValue) return 0;
  return next === "=" ? 2 : 1;
}

async function namesOf(context: OperatorContext, kind: Kind, words: readonly string[]): Promise<string[]> {
  const list = lists[kind];
  if (list === undefined) return [...operationIds];
  const flags = connectionIn(words);
  const opened = await openClient({ ...context, terminal: silent }, flags);
  const client = { ...opened, connection: { ...opened.connection, giveUpAfterMs } };
  const until = Date.now() + giveUpAfterMs;
  const names = new Set<string>();
  let pageToken: string | undefined;
  for (let page = 1; page <= maxPages && Date.now() < until; page += 1) {
    const { body } = await call(client, list.operation, { pageSize: 200, pageToken });
    for (const item of listAt(body, "items")) names.add(textAt(item, list.member) ?? "");
    pageToken = textAt(body, "nextPageToken");
    if (pageToken === undefined) break;
  }
  return [...names].filter(isPlain);
}

/** A shell inserts the word as it is, so a name with special characters is not offered. */
const isPlain = (name: string): boolean => /^[\w.:/@+][\w.:/@+-]*$/.test(name);

/** The connection options among the typed words. bash splits `--url=X` into three words. */
export function connectionIn(words: readonly string[]): { url?: string; factory?: string; caFile?: string } {
  const given = (flag: string): string | undefined => {
    const at = words.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
    if (at === -1) return undefined;
    const word = words[at] ?? "";
    if (word !== flag) return word.slice(flag.length + 1);
    return words[at + 1] === "=" ? words[at + 2] : words[at + 1];
  };
  const [url, factory, caFile] = ["--url", "--factory", "--ca-file"].map(given);
  return { ...(url && { url: joinedUrl(words, url) }), ...(factory && { factory }), ...(caFile && { caFile }) };
}

/** bash splits at colons too: `https`, `:`, `//host`, `:`, `8080`. */
function joinedUrl(words: readonly string[], first: string): string {
  let at = words.lastIndexOf(first);
  let url = first;
  while (words[at + 1] === ":") {
    url += `:${words[at + 2] ?? ""}`;
    at += 2;
  }
  return url;
}

/** Kinds of things whose names the service knows. */
export type Kind = keyof typeof lists;

/** The operation that lists a kind, and the member of an item with its name. */
export const lists = {
  factories: { operation: "listFactories", member: "name" },
  secrets: { operation: "listSecrets", member: "name" },
  "deleted-secrets": { operation: "listDeletedSecrets", member: "name" },
  registries: { operation: "listRegistries", member: "id" },
  jobs: { operation: "listJobs", member: "name" },
  "job-ids": { operation: "listJobs", member: "id" },
  rules: { operation: "listTrustRules", member: "name" },
  authorities: { operation: "listDeviceAuthorities", member: "id" },
  denials: { operation: "listDeniedDevices", member: "id" },
  tokens: { operation: "listApiTokens", member: "id" },
  clients: { operation: "listOAuthClients", member: "id" },
  // Known without asking the service.
  operations: undefined,
} as const;

/** Kind of the first operand of a command, by its path. */
const operands: Readonly<Record<string, Kind>> = {
  "/secrets/show": "secrets",
  "/secrets/set": "secrets",
  "/secrets/rm": "secrets",
  "/secrets/verify": "secrets",
  "/secrets/doctor": "secrets",
  "/secrets/history": "secrets",
  "/secrets/promote": "secrets",
  "/secrets/rollback": "secrets",
  "/secrets/restore": "secrets",
  "/secrets/destroy": "secrets",
  "/secrets/usage": "secrets",
  "/secrets/undelete": "deleted-secrets",
  "/secrets/purge": "deleted-secrets",
  "/registries/show": "registries",
  "/registries/set": "registries",
  "/registries/rm": "registries",
  "/jobs/show": "job-ids",
  "/jobs/end": "jobs",
  "/trust-rules/show": "rules",
  "/trust-rules/rm": "rules",
  "/devices/authorities/show": "authorities",
  "/devices/authorities/set-policy": "authorities",
  "/devices/authorities/set-crl": "authorities",
  "/devices/authorities/rm": "authorities",
  "/devices/allow": "denials",
  "/api-tokens/rm": "tokens",
  "/oauth-clients/rm": "clients",
  "/oauth-clients/show": "clients",
  "/oauth-clients/add-secret": "clients",
  "/oauth-clients/rm-secret": "clients",
  "/factories/rm": "factories",
  "/api": "operations",
};

/** Kind of the value of an option, for all commands. */
const values: Readonly<Record<string, Kind>> = {
  "--factory": "factories",
  "--secret": "secrets",
  "--registry": "registries",
  "--authority": "authorities",
};

export const operandKind = (path: string): Kind | undefined =>
  Object.hasOwn(operands, path) ? operands[path] : undefined;

export const valueKind = (option: string): Kind | undefined =>
  Object.hasOwn(values, option) ? values[option] : undefined;
