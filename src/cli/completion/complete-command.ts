import { Argument, Command } from "commander";
import { listAt, textAt } from "../client/json-value.js";
import { movable } from "../client/leading-options.js";
import { writeOut } from "../client/output.js";
import type { Terminal } from "../client/terminal.js";
import { call } from "../operator/call.js";
import { operationIds } from "../operator/operation.js";
import { type OperatorContext, openClient } from "../operator/operator-client.js";
import { type Kind, lists, operandKind, valueKind } from "./named-things.js";

/** A person waits with a finger on the key. */
const patienceMs = 2_000;
const maxPages = 5;

const silent: Terminal = {
  out: () => undefined,
  say: () => undefined,
  note: () => undefined,
  command: () => undefined,
};

/**
 * `__complete`: what the completion scripts ask for names. Prints one a line, and nothing when the service cannot be asked:
 * a completion that fails offers nothing.
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

/** The command that the words lead to, and how many operands stand behind it. */
function typedSoFar(program: Command, words: readonly string[]): { command: Command; operands: number } {
  let command = program;
  let operands = 0;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    const next = operands === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (next !== undefined) command = next;
    else if (word.startsWith("-")) at += valueLength(command, word, words[at + 1]);
    // bash makes three words of `aws:us-east-2`.
    else if (word === ":") at += 1;
    else operands += 1;
  }
  return { command, operands };
}

/** How many of the words behind an option are its value. */
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
  const client = { ...opened, connection: { ...opened.connection, patienceMs } };
  const until = Date.now() + patienceMs;
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

/** A shell takes the words as they are. Whatever it could do more with than compare is not offered. */
const isPlain = (name: string): boolean => /^[\w.:/@+][\w.:/@+-]*$/.test(name);

/** The options that say whom to ask, among the words before. bash makes three words of `--url=X`. */
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

/** bash ends a word at a colon too: `https`, `:`, `//host`, `:`, `8080`. */
function joinedUrl(words: readonly string[], first: string): string {
  let at = words.lastIndexOf(first);
  let url = first;
  while (words[at + 1] === ":") {
    url += `:${words[at + 2] ?? ""}`;
    at += 2;
  }
  return url;
}
