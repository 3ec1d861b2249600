import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { objectAt, parseJson, textAt } from "../../client/json-value.js";
import { replaceFile } from "../../client/replace-file.js";

/** What this program has written into a folder: marks of each file by its name, which are SHA-256. No value stands in it. */
export type FilesRecord = ReadonlyMap<string, string>;

// A name with a dot in front: whoever passes on all that `ls` shows of the folder passes over it.
const pathIn = (directory: string): string => join(directory, ".factory-secrets-files.json");

export async function readFilesRecord(directory: string): Promise<FilesRecord> {
  const text = await readFile(pathIn(directory), "utf8").catch(() => undefined);
  const files = objectAt(text === undefined ? undefined : parseJson(text), "files");
  return new Map(Object.keys(files).map((name): [string, string] => [name, textAt(files, name) ?? ""]));
}

export async function writeFilesRecord(directory: string, record: FilesRecord): Promise<void> {
  await replaceFile(pathIn(directory), `${JSON.stringify({ files: Object.fromEntries(record) }, undefined, 2)}\n`);
}

export const digestOf = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
