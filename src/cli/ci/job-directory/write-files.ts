import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemReason } from "../../../core/error-code.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { holdLock } from "../../client/hold-lock.js";
import { objectAt, parseJson, textAt } from "../../client/json-value.js";
import { hasMark, withMark } from "../../client/marks.js";
import { replaceFile } from "../../client/replace-file.js";
import { type JobFile, registriesFile } from "./request-files.js";

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
