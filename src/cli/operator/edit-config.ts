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

/** The file that is edited, and the document that it was made from. */
type Draft = { path: string; before: string; ifMatch: string | undefined };

const firstDocument = "container_registries: []\n";

/**
 * `config edit`: opens the config in the editor, and publishes the result unless the config was changed in the meantime. A text
 * that cannot be published can be edited again.
 * @throws CommandFailure; the text is then kept, and the message names the file
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
    if (text !== draft.before) throw withKeptText(error, draft.path);
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
      if (lines.length === 0 || !(await wantsToEdit(run, lines, "The document can be published, with these warnings.")))
        return text;
      continue;
    }
    if (!isAboutDocument(answer)) throw await explainProblem(client, answer);
    const lines = findingLines(draft.path, answer, text);
    if (!(await wantsToEdit(run, lines, "The document cannot be published like this.")))
      throw new CommandFailure(exitCodes.refused, "Nothing was published.");
  }
}

async function wantsToEdit({ context }: Run, lines: readonly string[], sentence: string): Promise<boolean> {
  for (const line of [...lines, sentence]) context.terminal.say(line);
  if (!context.person.isAtTerminal) return false;
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
  // Must not undo what others have published in the meantime.
  const condition = ifMatch === undefined ? { "If-None-Match": "*" } : { "If-Match": ifMatch };
  return send(client, "putConfig", { ...query, ...condition }, { body: Buffer.from(text, "utf8") });
}

function withKeptText(error: unknown, path: string): CommandFailure {
  const message = error instanceof Error ? error.message : String(error);
  return new CommandFailure(
    error instanceof CommandFailure ? error.exitCode : exitCodes.failed,
    `${message}\nYour text is kept in ${path}. To publish it: factory-secrets config put ${path}`,
  );
}

/**
 * Opens a file in the editor and waits for its end. VISUAL and EDITOR may have arguments; a shell parses them, as in git.
 * @throws CommandFailure when the editor fails
 */
async function runEditor(environment: Environment, path: string): Promise<void> {
  const editor = environment.VISUAL || environment.EDITOR || "vi";
  const isWindows = process.platform === "win32";
  // The path is a separate argument, so the shell does not parse it.
  const [program, args] = isWindows
    ? (["cmd.exe", ["/d", "/s", "/c", `${editor} "${path}"`]] as const)
    : (["sh", ["-c", `${editor} "$@"`, editor, path]] as const);
  // Ctrl-C belongs to the editor while it runs.
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  const child = spawn(program, args, { stdio: "inherit", env: environment, windowsVerbatimArguments: isWindows });
  const code = await new Promise<number>((resolve, reject) => {
    child.on("error", reject).once("exit", (exitCode) => resolve(exitCode ?? 1));
  }).finally(() => process.off("SIGINT", ignore));
  if (code !== 0)
    throw new CommandFailure(
      exitCodes.failed,
      `The editor (${editor}) ended with exit code ${code}. Set EDITOR to another editor.`,
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
  // An empty document has a sentence and no place.
  const detail = invalid.length === 0 ? sentenceAt(body, "detail") : undefined;
  return [...(detail === undefined ? [] : [`${file}: ${detail}`]), ...invalid, ...warnings];
}

/** The result of a publication, for a person. */
export function writtenSentence(body: unknown): string {
  const version = isObject(body) ? String(body.version) : "";
  return isObject(body) && body.unchanged === true
    ? `Nothing was published: version ${version} has the same content.`
    : `Published version ${version}.`;
}

/**
 * The line of a finding, with its indent and that of the line before, which shows a wrong indent. When the line after is
 * indented too far, the parser reports this line: then that one is shown.
 */
function excerpt(document: string, item: unknown): string {
  const { line } = lineAndColumn(item);
  const lines = document.split(/\r?\n/);
  const at = (line ?? 0) - 1;
  if (!hasContent(lines[at])) return "";
  const after = lines.findIndex((text, index) => index > at && hasContent(text));
  const isAfter = after !== -1 && hasValue(lines[at]) && indentOf(lines[after]) > indentOf(lines[at]);
  const shown = isAfter ? after : at;
  const before = isAfter ? at : lines.slice(0, at).findLastIndex(hasContent);
  const text = visibleInline((lines[shown] ?? "").trim().slice(0, maxShown));
  const beside = before === -1 ? "" : `; line ${before + 1} by ${indentOf(lines[before])}`;
  return ` (line ${shown + 1}: "${text}", indented by ${indentOf(lines[shown])}${beside})`;
}

const maxShown = 80;

const hasContent = (line = ""): boolean => line.trim() !== "" && !/^\s*#/.test(line);

/** A key with a value on its line: a deeper indent below it is wrong. */
const hasValue = (line = ""): boolean => /:\s+[^\s#|>]/.test(line);

/** The column of the key: a dash of a list belongs to the indent. */
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
