import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { visibleInline } from "../../core/visible-text.js";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, listAt, sentenceAt, textAt } from "../client/json-value.js";
import type { Answer } from "../client/send-once.js";
import { explainProblem, send } from "./call.js";
import type { Run } from "./command.js";
import type { Values } from "./operation.js";
import { sayWarnings } from "./print.js";

/** Where the text is while it is edited, and what it was made from. */
type Draft = { path: string; before: string; ifMatch: string | undefined };

const firstDocument = "container_registries: []\n";

/**
 * `config edit`: opens the config in the editor, and publishes the result unless the config was changed meanwhile. What
 * cannot be published can be edited again.
 * @throws CommandFailure; the text is then kept, and the message says where
 */
export async function editConfig(run: Run): Promise<void> {
  const { reason, allowMissingSecrets } = run.given<{ reason?: string; allowMissingSecrets?: boolean }>();
  const query = { reason, allowMissingSecrets };
  const directory = await mkdtemp(join(tmpdir(), "factory-secrets-edit-"));
  const draft = await openDraft(run, join(directory, "factory-config.yml")).catch(async (error: unknown) => {
    await rm(directory, { recursive: true });
    throw error;
  });
  let text = draft.before;
  try {
    text = await editUntilValid(run, query, draft);
    if (text === draft.before) run.context.terminal.say("Nothing was changed.");
    else await publish(run, query, draft, text);
  } catch (error) {
    text = await readFile(draft.path, "utf8").catch(() => text);
    if (text !== draft.before) throw keeping(error, draft.path);
    await rm(directory, { recursive: true });
    throw error;
  }
  await rm(directory, { recursive: true });
}

async function openDraft({ client }: Run, path: string): Promise<Draft> {
  const answer = await send(client, "getConfigDocument");
  const isNew = answer.status === 404 && (await isKnownFactory(client));
  if (answer.status !== 200 && !isNew) throw await explainProblem(client, answer);
  const before = isNew ? firstDocument : answer.text;
  await writeFile(path, before, { mode: 0o600 });
  return { path, before, ifMatch: isNew ? undefined : answer.etag };
}

/** Tells a factory without a config from a misspelt name. */
async function isKnownFactory(client: Run["client"]): Promise<boolean> {
  return (await send(client, "listConfigVersions")).status === 200;
}

/** @returns the text once it is valid, or as it was */
async function editUntilValid(run: Run, query: Values, draft: Draft): Promise<string> {
  const { context, client } = run;
  for (;;) {
    await runEditor(context.environment, draft.path);
    const text = await readFile(draft.path, "utf8");
    if (text === draft.before) return text;
    const answer = await put(run, { ...query, dryRun: true }, draft, text);
    if (answer.status === 200) {
      const lines = findingLines(draft.path, answer, text);
      if (lines.length === 0 || !(await wantsToEdit(run, lines, "It can be published, with these warnings.")))
        return text;
      continue;
    }
    if (!isAboutDocument(answer)) throw await explainProblem(client, answer);
    const lines = findingLines(draft.path, answer, text);
    if (!(await wantsToEdit(run, lines, "It cannot be published like this.")))
      throw new CommandFailure(exitCodes.refused, "Nothing was published.");
  }
}

async function wantsToEdit({ context }: Run, lines: readonly string[], sentence: string): Promise<boolean> {
  for (const line of [...lines, sentence]) context.terminal.say(line);
  if (!context.person.isThere) return false;
  return !/^n(o)?$/i.test(await context.person.ask("Edit again? [Y/n] "));
}

async function publish(run: Run, query: Values, draft: Draft, text: string): Promise<void> {
  const { context, client } = run;
  const answer = await put(run, query, draft, text);
  if (answer.status !== 200 && answer.status !== 201) throw await explainProblem(client, answer);
  sayWarnings(context.terminal, answer.body);
  if (run.isForProgram) await run.print(answer.body, () => "");
  context.terminal.say(writtenSentence(answer.body));
}

function put({ client }: Run, query: Values, { ifMatch }: Draft, text: string): Promise<Answer> {
  // So that what others have published meanwhile is not undone.
  const condition = ifMatch === undefined ? { "If-None-Match": "*" } : { "If-Match": ifMatch };
  return send(client, "putConfig", { ...query, ...condition }, { body: Buffer.from(text, "utf8") });
}

function keeping(error: unknown, path: string): CommandFailure {
  const message = error instanceof Error ? error.message : String(error);
  return new CommandFailure(
    error instanceof CommandFailure ? error.exitCode : exitCodes.failed,
    `${message}\nYour text is kept in ${path}. To publish it: factory-secrets config put ${path}`,
  );
}

/**
 * Opens a file in the person's editor and waits for its end. VISUAL and EDITOR are commands with arguments of their
 * own, read by a shell, as git reads them.
 * @throws CommandFailure when it ends badly
 */
async function runEditor(environment: Environment, path: string): Promise<void> {
  const editor = environment.VISUAL || environment.EDITOR || "vi";
  const isWindows = process.platform === "win32";
  // The path is an argument of its own: no shell reads it.
  const [program, args] = isWindows
    ? (["cmd.exe", ["/d", "/s", "/c", `${editor} "${path}"`]] as const)
    : (["sh", ["-c", `${editor} "$@"`, editor, path]] as const);
  // Ctrl-C is the editor's while it runs.
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  const child = spawn(program, args, { stdio: "inherit", env: environment, windowsVerbatimArguments: isWindows });
  const code = await new Promise<number>((resolve, reject) => {
    child.on("error", reject).once("exit", (exitCode) => resolve(exitCode ?? 1));
  }).finally(() => process.off("SIGINT", ignore));
  if (code !== 0)
    throw new CommandFailure(
      exitCodes.failed,
      `The editor (${editor}) ended with exit code ${code}. Set EDITOR to another.`,
    );
}

/** Whether the service refuses the document itself. */
export function isAboutDocument({ status, body }: Answer): boolean {
  return status === 422 && textAt(body, "code") === "invalid-config";
}

/** Errors and warnings about a document, one a line, as compilers write them: `FILE:3:5: reason`. */
export function findingLines(file: string, { body }: Answer, document: string): string[] {
  const invalid = listAt(body, "invalid").map(
    (item) => `${placeIn(file, item)}: ${sentenceAt(item, "reason") ?? ""}${excerpt(document, item)}`,
  );
  const warnings = listAt(body, "warnings").map(
    (item) => `${placeIn(file, item)}: warning: ${sentenceAt(item, "message") ?? ""}`,
  );
  // Of an empty document there is a sentence and no place.
  const detail = invalid.length === 0 ? sentenceAt(body, "detail") : undefined;
  return [...(detail === undefined ? [] : [`${file}: ${detail}`]), ...invalid, ...warnings];
}

/** The result of a publication, for a person. */
export function writtenSentence(body: unknown): string {
  const version = isObject(body) ? String(body.version) : "";
  return isObject(body) && body.unchanged === true
    ? `Version ${version} has the same content already.`
    : `Published version ${version}.`;
}

/**
 * The line that a finding is about, and how far it and the one before it are indented: a slip shows so. Where the line
 * after it is indented too far, the parser finds the fault in this one: then that line is shown.
 */
function excerpt(document: string, item: unknown): string {
  const { line } = lineAndColumn(item);
  const lines = document.split(/\r?\n/);
  const at = (line ?? 0) - 1;
  if (!saysSomething(lines[at])) return "";
  const after = lines.findIndex((text, index) => index > at && saysSomething(text));
  const isAfter = after !== -1 && hasValue(lines[at]) && indentOf(lines[after]) > indentOf(lines[at]);
  const shown = isAfter ? after : at;
  const before = isAfter ? at : lines.slice(0, at).findLastIndex(saysSomething);
  const text = visibleInline((lines[shown] ?? "").trim().slice(0, maxShown));
  const beside = before === -1 ? "" : `; line ${before + 1} by ${indentOf(lines[before])}`;
  return ` (line ${shown + 1}: "${text}", indented by ${indentOf(lines[shown])}${beside})`;
}

const maxShown = 80;

const saysSomething = (line = ""): boolean => line.trim() !== "" && !/^\s*#/.test(line);

/** A key and its value: what is indented further below it is of no key. */
const hasValue = (line = ""): boolean => /:\s+[^\s#|>]/.test(line);

/** To the key: the dash of a list belongs to the indent. */
const indentOf = (line = ""): number => /^\s*(?:- +)*/.exec(line)?.[0].length ?? 0;

function lineAndColumn(item: unknown): { line?: number; column?: number } {
  const [, line, column] = /^line (\d+), column (\d+)$/.exec(sentenceAt(item, "at") ?? "") ?? [];
  return line === undefined || column === undefined ? {} : { line: Number(line), column: Number(column) };
}

function placeIn(file: string, item: unknown): string {
  const at = sentenceAt(item, "at") ?? "";
  const { line, column } = lineAndColumn(item);
  if (line === undefined) return at === "" ? file : `${file}: ${at}`;
  return `${file}:${line}:${column}`;
}
