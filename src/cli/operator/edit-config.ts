import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import type { Answer } from "../client/send-once.js";
import { send } from "./ask-service.js";
import { configPath, findingLines, isAboutDocument, writtenSentence } from "./config-document.js";
import type { Run } from "./define-command.js";
import { explainProblem } from "./explain-problem.js";
import { sayWarnings } from "./say-warnings.js";

type Query = Readonly<Record<string, string | boolean | undefined>>;

/** Where the text lies while it is edited, and what it was made from. */
type Draft = { path: string; before: string; ifMatch: string | undefined };

const firstDocument = "container_registries: []\n";

/**
 * Opens the config in the person's editor, and publishes what they have made of it if nobody else has published
 * meanwhile. What cannot be published can be edited again.
 * @throws CommandFailure; the text is then still there, and the message says where
 */
export async function editConfig(run: Run, query: Query): Promise<void> {
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
  const answer = await send(client, {
    method: "GET",
    path: configPath(client, "document"),
    accept: "application/yaml",
  });
  const isNew = answer.status === 404 && (await isKnownFactory(client));
  if (answer.status !== 200 && !isNew) throw await explainProblem(client, answer);
  const before = isNew ? firstDocument : answer.text;
  await writeFile(path, before, { mode: 0o600 });
  return { path, before, ifMatch: isNew ? undefined : answer.etag };
}

/** A factory without a config yet, and not one that is misspelt. */
async function isKnownFactory(client: Run["client"]): Promise<boolean> {
  return (await send(client, { method: "GET", path: configPath(client, "versions") })).status === 200;
}

/** @returns the text once it is valid, or as it was */
async function editUntilValid(run: Run, query: Query, draft: Draft): Promise<string> {
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
    if (!(await wantsToEdit(run, lines, "It cannot be published so.")))
      throw new CommandFailure(exitCodes.refused, "Nothing was published.");
  }
}

async function wantsToEdit({ context }: Run, lines: readonly string[], sentence: string): Promise<boolean> {
  for (const line of [...lines, sentence]) context.terminal.say(line);
  if (!context.person.isThere) return false;
  return !/^n(o)?$/i.test(await context.person.ask("Edit again? [Y/n] "));
}

async function publish(run: Run, query: Query, draft: Draft, text: string): Promise<void> {
  const { context, client } = run;
  const answer = await put(run, query, draft, text);
  if (answer.status !== 200 && answer.status !== 201) throw await explainProblem(client, answer);
  sayWarnings(context, answer.body);
  context.terminal.say(writtenSentence(answer.body));
}

function put({ client }: Run, query: Query, { ifMatch }: Draft, text: string): Promise<Answer> {
  return send(client, {
    method: "PUT",
    path: configPath(client),
    query,
    document: { mediaType: "application/yaml", bytes: Buffer.from(text, "utf8") },
    // Nobody's publication is undone by ours.
    ...(ifMatch === undefined ? { ifNoneMatch: "*" } : { ifMatch }),
  });
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
