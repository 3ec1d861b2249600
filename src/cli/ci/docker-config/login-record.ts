import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { objectAt, parseJson, textAt } from "../../client/json-value.js";
import { replaceFile } from "../../client/replace-file.js";

/** What `ci login` has written into `auths`: the marks of each entry by its key. No credential stands in it. */
export type LoginRecord = {
  marks: ReadonlyMap<string, string>;
  /** There was no `auths` before. */
  hasMadeAuths: boolean;
};

const pathIn = (directory: string): string => join(directory, ".factory-secrets-login.json");

/** @returns what was logged in here, nothing when there is no record of it */
export async function readLoginRecord(directory: string): Promise<LoginRecord | undefined> {
  const text = await readFile(pathIn(directory), "utf8").catch(() => undefined);
  const record = text === undefined ? undefined : parseJson(text);
  if (record === undefined) return undefined;
  const marks = Object.keys(objectAt(record, "marks")).map((key): [string, string] => [
    key,
    textAt(objectAt(record, "marks"), key) ?? "",
  ]);
  return { marks: new Map(marks), hasMadeAuths: textAt(record, "auths") === "made" };
}

/** Written before `config.json` is: an entry without a record would never be removed, a record without one does nothing. */
export async function writeLoginRecord(directory: string, { marks, hasMadeAuths }: LoginRecord): Promise<void> {
  const record = { auths: hasMadeAuths ? "made" : "found", marks: Object.fromEntries(marks) };
  await replaceFile(pathIn(directory), `${JSON.stringify(record, undefined, 2)}\n`);
}

export async function removeLoginRecord(directory: string): Promise<void> {
  await rm(pathIn(directory), { force: true });
}
