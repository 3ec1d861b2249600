import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { systemReason } from "../../core/error-code.js";
import { hasMark, holdLock, replaceFile, withMark } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { listAt, objectAt, parseJson, sentenceAt, textAt } from "../client/json-value.js";
import { maskTexts } from "../client/output.js";
import { type CommandContext, openClient, type TokenFlags, wantedBy } from "./command-context.js";
import { explainAnswer } from "./explain-answer.js";
import { failureLine, type RegistryFailure, readFailures } from "./registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "./request-tokens.js";

type MaterializeFlags = TokenFlags & { dir: string; keepExisting?: true };

/** `ci materialize`, without the options that all commands of a job have. */
export function materializeCommand(): Command {
  return new Command("materialize")
    .description("write a job's /secrets as foundriesio/ci-scripts reads them")
    .requiredOption("--dir <folder>", "where to; ci-scripts reads /secrets and nothing else")
    .option("--keep-existing", "leave files that somebody else has put there, and write the others")
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
  for (const name of kept) terminal.say(`${name}: was there already, and is left as it is.`);
  for (const name of removed) terminal.say(`${name}: removed, for this job no longer gets it.`);
  for (const failure of failures) terminal.say(failureLine(failure));
  terminal.say(`Written to ${flags.dir}.`);
  return exitCodes.done;
}

/** The parts of a file that a log must not show: all of it, and what stands behind the colon of `user:token`. */
function secretTexts({ name, content }: JobFile): string[] {
  if (name === registriesFile) return [];
  const text = content.toString("utf8").trim();
  const colon = text.indexOf(":");
  return colon === -1 || text.includes("\n") ? [text] : [text, text.slice(colon + 1)];
}

/** A file of a job's `/secrets`. */
export type JobFile = { name: string; content: Buffer };

/** What each job gets: the list of its registries. */
export const registriesFile = "container-registries";

/**
 * Asks for what a job's `/secrets` hold.
 * @throws CommandFailure with the sentence for whoever reads the job's log
 */
export async function requestFiles(
  client: JobClient,
  wanted: Wanted,
): Promise<{ files: JobFile[]; failures: RegistryFailure[] }> {
  const answer = await askForTokens(client, wanted, "ci-scripts");
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const files = listAt(answer.body, "files").map(readJobFile);
  const known = files.filter((file) => file !== undefined);
  if (known.length !== files.length || !known.some(({ name }) => name === registriesFile))
    throw new CommandFailure(
      exitCodes.unavailable,
      `What ${client.settings.url} answers is not what factory-secrets does. Is FACTORY_SECRETS_URL right?`,
    );
  return { files: known, failures: readFailures(answer.body) };
}

// The name becomes a path: whatever a service answers, nothing is written outside of the folder.
function readJobFile(value: unknown): JobFile | undefined {
  const name = sentenceAt(value, "name");
  const content = textAt(value, "contentBase64");
  if (name === undefined || content === undefined || !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/.test(name))
    return undefined;
  return { name, content: Buffer.from(content, "base64") };
}

/** What this program has written into a folder: marks of each file by its name, which are SHA-256. No value stands in it. */
type FilesRecord = ReadonlyMap<string, string>;

// A name with a dot in front: whoever passes on all that `ls` shows of the folder passes over it.
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
  /** Were there, not from this program, and are as they were. */
  kept: readonly string[];
  /** Were from this program, and are no longer asked for. */
  removed: readonly string[];
};

/**
 * Writes a job's files into its folder, each readable by its owner alone. What somebody else has put there is never
 * written over: with `keepExisting` it stays, else nothing is written at all. Files of an earlier run are replaced, or
 * removed when they are no longer asked for.
 * @throws CommandFailure when a file of somebody else's is in the way, or the folder cannot be written to
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
    throw new CommandFailure(exitCodes.failed, `${directory} cannot be written to (${systemReason(error)}).`);
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
  // Written before the files: one without a record would be taken for somebody else's by the next run. What is replaced
  // stays in it meanwhile: this run may be killed before it comes to that file.
  const meanwhile = digests.map(([name, digest]): [string, string] => [name, withMark(record.get(name), digest)]);
  await writeFilesRecord(directory, new Map([...record, ...meanwhile]));
  // The list comes last: whoever sees it finds all that it names.
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

/** @returns `undefined` where there is no file; a folder or what cannot be read counts as somebody else's */
async function digestAt(directory: string, name: string): Promise<string | undefined> {
  try {
    return digestOf(await readFile(join(directory, name)));
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT" ? undefined : "";
  }
}

function inTheWay(directory: string, names: readonly string[]): CommandFailure {
  const paths = names.map((name) => join(directory, name)).join(", ");
  const way = names.includes(registriesFile)
    ? "Move it, or choose another --dir."
    : "Move them, choose another --dir, or give --keep-existing.";
  return new CommandFailure(
    exitCodes.failed,
    `There already, and not from this program: ${paths}. Nothing was written. ${way}`,
  );
}
