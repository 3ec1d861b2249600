import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { systemReason } from "../../core/error-code.js";
import { unknownAnswer } from "../client/ask-with-retries.js";
import { hasMark, holdLock, replaceFile, withMark } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { listAt, objectAt, parseJson, sentenceAt, textAt } from "../client/json-value.js";
import { maskTexts } from "../client/output.js";
import { type CommandContext, openClient, type TokenFlags, wantedBy } from "./command-context.js";
import { explainAnswer } from "./explain-answer.js";
import { failureLine, type RegistryFailure, readFailures } from "./registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "./request-tokens.js";

type MaterializeFlags = TokenFlags & { dir: string; keepExisting?: true };

/** `ci materialize`, without the options that all commands of a job share. */
export function materializeCommand(): Command {
  return new Command("materialize")
    .description("write a job's /secrets as foundriesio/ci-scripts reads them")
    .requiredOption("--dir <folder>", "the folder to write; ci-scripts reads /secrets only")
    .option("--keep-existing", "keep files in it that other programs wrote, and write the others")
    .addHelpText(
      "after",
      `
It writes ${registriesFile}, a file with user:token for each registry, and the secrets that are flagged deliverToJobs
and that this job may have. Run it again to renew the tokens; what is no longer there is removed.

Example:
  factory-secrets ci materialize --dir /secrets && apps/login_registries /secrets/${registriesFile}`,
    );
}

export async function runMaterialize(context: CommandContext, flags: MaterializeFlags): Promise<number> {
  const { environment, terminal } = context;
  const { files, failures } = await requestFiles(openClient(context, flags), wantedBy(flags));
  maskTexts(environment, terminal, files.flatMap(secretTexts));
  const { written, kept, removed } = await writeFiles(flags.dir, files, { keepExisting: flags.keepExisting === true });
  for (const name of written) terminal.out(name);
  for (const name of kept) terminal.say(`${name}: kept, because another program wrote it.`);
  for (const name of removed) terminal.say(`${name}: removed, because this job no longer gets it.`);
  for (const failure of failures) terminal.say(failureLine(failure));
  terminal.say(`Written to ${flags.dir}.`);
  return exitCodes.done;
}

/** The texts that a log must not show: the whole file, and the token of `user:token`. */
function secretTexts({ name, content }: JobFile): string[] {
  if (name === registriesFile) return [];
  const text = content.toString("utf8").trim();
  const colon = text.indexOf(":");
  return colon === -1 || text.includes("\n") ? [text] : [text, text.slice(colon + 1)];
}

export type JobFile = { name: string; content: Buffer };

/** The list of registries, which every job gets. */
export const registriesFile = "container-registries";

/**
 * Requests the files of `/secrets`.
 * @throws CommandFailure when the service refuses or does not answer
 */
export async function requestFiles(
  client: JobClient,
  wanted: Wanted,
): Promise<{ files: JobFile[]; failures: RegistryFailure[] }> {
  const answer = await askForTokens(client, wanted, "ci-scripts");
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const files = listAt(answer.body, "files").map(readJobFile);
  const read = files.filter((file) => file !== undefined);
  if (read.length !== files.length || !read.some(({ name }) => name === registriesFile))
    throw unknownAnswer(client.settings.url);
  return { files: read, failures: readFailures(answer.body) };
}

// The name becomes a path: whatever a service answers, nothing may be written outside the folder.
function readJobFile(value: unknown): JobFile | undefined {
  const name = sentenceAt(value, "name");
  const content = textAt(value, "contentBase64");
  if (name === undefined || content === undefined || !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/.test(name))
    return undefined;
  return { name, content: Buffer.from(content, "base64") };
}

/** What this program wrote into a folder: marks of each file (SHA-256) by its name, no values. */
type FilesRecord = ReadonlyMap<string, string>;

// A hidden file: a program that passes on all files that `ls` shows leaves it out.
const pathIn = (directory: string): string => join(directory, ".factory-secrets-files.json");

async function readFilesRecord(directory: string): Promise<FilesRecord> {
  const text = await readFile(pathIn(directory), "utf8").catch(() => undefined);
  const files = objectAt(text === undefined ? undefined : parseJson(text), "files");
  return new Map(Object.keys(files).map((name): [string, string] => [name, textAt(files, name) ?? ""]));
}

async function writeFilesRecord(directory: string, record: FilesRecord): Promise<void> {
  await replaceFile(pathIn(directory), `${JSON.stringify({ files: Object.fromEntries(record) }, undefined, 2)}\n`);
}

const digestOf = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

export type WrittenFiles = {
  written: readonly string[];
  /** Files of other programs, left as they were. */
  kept: readonly string[];
  /** Files of an earlier run that are no longer requested. */
  removed: readonly string[];
};

/**
 * Writes the files into the folder, with mode 0600. Files of other programs are never overwritten: with `keepExisting`
 * they stay, else nothing is written at all. Files of an earlier run are replaced, or removed when no longer requested.
 * @throws CommandFailure when a file of another program is in the way, or the folder cannot be written
 */
export async function writeFiles(
  directory: string,
  files: readonly JobFile[],
  { keepExisting }: { keepExisting: boolean },
): Promise<WrittenFiles> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return await holdLock(join(directory, ".factory-secrets-lock"), () => replaceAll(directory, files, keepExisting));
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(exitCodes.failed, `${directory} cannot be written (${systemReason(error)}).`);
  }
}

async function replaceAll(directory: string, files: readonly JobFile[], keepExisting: boolean): Promise<WrittenFiles> {
  const record = await readFilesRecord(directory);
  const foreign: string[] = [];
  for (const { name, content } of files) {
    const found = await digestAt(directory, name);
    if (found !== undefined && !hasMark(record.get(name), found) && found !== digestOf(content)) foreign.push(name);
  }
  if (foreign.includes(registriesFile) || (foreign.length > 0 && !keepExisting)) throw inTheWay(directory, foreign);
  const wanted = files.filter(({ name }) => !foreign.includes(name));
  const digests = wanted.map(({ name, content }): [string, string] => [name, digestOf(content)]);
  // Before the files: the next run would take a file without a record for one of another program. Marks of replaced files
  // stay until the end: this run may be killed before it replaces them.
  const meanwhile = digests.map(([name, digest]): [string, string] => [name, withMark(record.get(name), digest)]);
  await writeFilesRecord(directory, new Map([...record, ...meanwhile]));
  // The list comes last, so that every file that it names exists.
  for (const { name, content } of wanted.toSorted(byListLast)) await replaceFile(join(directory, name), content);
  const removed: string[] = [];
  for (const [name, digest] of record) {
    if (files.some((file) => file.name === name) || !hasMark(digest, await digestAt(directory, name))) continue;
    await rm(join(directory, name));
    removed.push(name);
  }
  await writeFilesRecord(directory, new Map(digests));
  return { written: wanted.map(({ name }) => name), kept: foreign, removed };
}

const byListLast = (a: JobFile, b: JobFile): number =>
  Number(a.name === registriesFile) - Number(b.name === registriesFile);

/** @returns `undefined` without a file; a folder or an unreadable file counts as another program's */
async function digestAt(directory: string, name: string): Promise<string | undefined> {
  try {
    return digestOf(await readFile(join(directory, name)));
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT" ? undefined : "";
  }
}

function inTheWay(directory: string, names: readonly string[]): CommandFailure {
  const paths = names.map((name) => join(directory, name)).join(", ");
  const hint = names.includes(registriesFile)
    ? "Move it, or choose another --dir."
    : "Move them, choose another --dir, or pass --keep-existing.";
  return new CommandFailure(
    exitCodes.failed,
    `These files exist, and another program wrote them: ${paths}. Nothing was written. ${hint}`,
  );
}
