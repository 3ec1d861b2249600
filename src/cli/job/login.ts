import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { hasMark, replaceFile, withMark } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { objectAt, parseJson, textAt } from "../client/json-value.js";

import {
  authOf,
  changeDockerConfig,
  keyOfHost,
  markOf,
  ownHelper,
  type RegistryLogin,
  readDockerConfig,
  refuseStore,
  storeFor,
  withAuths,
} from "./docker-config.js";
import type { RegistryFailure, RegistryToken } from "./registry-token.js";
import { type JobClient, requestTokens, type Wanted } from "./request-tokens.js";

/** What `ci login` wrote into `auths`: the marks of each entry by its key, no credentials. */
type LoginRecord = {
  marks: ReadonlyMap<string, string>;
  /** `auths` did not exist before. */
  hasMadeAuths: boolean;
};

const pathIn = (directory: string): string => join(directory, ".factory-secrets-login.json");

/** @returns `undefined` without a record */
async function readLoginRecord(directory: string): Promise<LoginRecord | undefined> {
  const text = await readFile(pathIn(directory), "utf8").catch(() => undefined);
  const record = text === undefined ? undefined : parseJson(text);
  if (record === undefined) return undefined;
  const marks = Object.keys(objectAt(record, "marks")).map((key): [string, string] => [
    key,
    textAt(objectAt(record, "marks"), key) ?? "",
  ]);
  return { marks: new Map(marks), hasMadeAuths: textAt(record, "auths") === "made" };
}

/** Before `config.json` is written: an entry without a record would never be removed; the reverse is harmless. */
async function writeLoginRecord(directory: string, { marks, hasMadeAuths }: LoginRecord): Promise<void> {
  const record = { auths: hasMadeAuths ? "made" : "found", marks: Object.fromEntries(marks) };
  await replaceFile(pathIn(directory), `${JSON.stringify(record, undefined, 2)}\n`);
}

async function removeLoginRecord(directory: string): Promise<void> {
  await rm(pathIn(directory), { force: true });
}

export type LoggedIn = {
  configPath: string;
  tokens: readonly RegistryToken[];
  /** Hosts for which docker asks our credential helper: nothing was written for them. */
  asksItself: readonly string[];
  failures: readonly RegistryFailure[];
};

/**
 * Writes tokens into docker's `config.json`; everything else in it stays.
 * @param directory - docker's configuration folder
 * @throws CommandFailure when the service refuses, or docker would not read what is written
 */
export async function login(client: JobClient, directory: string, wanted: Wanted): Promise<LoggedIn> {
  const configPath = join(directory, "config.json");
  const named = wanted.requests?.map(({ registry }) => registry) ?? wanted.registries;
  await refuseStoreForAll(directory, configPath, named);
  const { tokens, failures } = await requestTokens(client, wanted);
  return { configPath, ...(await writeLogins(directory, tokens)), failures };
}

/**
 * Writes logins into `auths`, and what `logout` has to know of them.
 * @throws CommandFailure when docker would not read what is written
 */
export async function writeLogins<Login extends RegistryLogin>(
  directory: string,
  tokens: readonly Login[],
): Promise<{ tokens: readonly Login[]; asksItself: readonly string[] }> {
  const configPath = join(directory, "config.json");
  const written: Login[] = [];
  const asksItself: string[] = [];
  await changeDockerConfig(directory, async (config, realDirectory) => {
    for (const token of tokens) refuseStore(config, token.registry, configPath);
    const isOurs = ({ registry }: Login): boolean => storeFor(config, registry) === ownHelper;
    // This runs again when the lock was lost.
    written.splice(0, Number.POSITIVE_INFINITY, ...tokens.filter((token) => !isOurs(token)));
    asksItself.splice(0, Number.POSITIVE_INFINITY, ...tokens.filter(isOurs).map(({ registry }) => registry));
    if (written.length === 0) return config;
    const earlier = await readLoginRecord(realDirectory);
    const marks = written.map((token): [string, string] => {
      const key = keyOfHost(token.registry);
      return [key, withMark(earlier?.marks.get(key), markOf(authOf(token)) ?? "")];
    });
    await writeLoginRecord(realDirectory, {
      marks: new Map([...(earlier?.marks ?? []), ...marks]),
      hasMadeAuths: earlier?.hasMadeAuths ?? config.auths === undefined,
    });
    return withAuths(config, written);
  });
  return { tokens: written, asksItself };
}

/** `kept`: entries that another program has changed since. */
export type LoggedOut = { configPath: string; removed: readonly string[]; kept: readonly string[] };

/** Removes from `config.json` only what `login` wrote. */
export async function logout(directory: string): Promise<LoggedOut> {
  const configPath = join(directory, "config.json");
  let removed: string[] = [];
  let kept: string[] = [];
  await changeDockerConfig(directory, async (config, realDirectory) => {
    const record = await readLoginRecord(realDirectory);
    if (!record) return config;
    const entries = Object.entries(config.auths ?? {});
    const isOurs = ([key, entry]: [string, unknown]): boolean => hasMark(record.marks.get(key), markOf(entry));
    removed = entries.filter(isOurs).map(([key]) => key);
    kept = entries.filter((entry) => record.marks.has(entry[0]) && !isOurs(entry)).map(([key]) => key);
    await removeLoginRecord(realDirectory);
    const { auths, ...others } = config;
    const left = entries.filter((entry) => !isOurs(entry));
    if (auths === undefined || (left.length === 0 && record.hasMadeAuths)) return others;
    return { ...config, auths: Object.fromEntries(left) };
  });
  return { configPath, removed, kept };
}

/** Before the request: no token should be made that docker would not read. */
async function refuseStoreForAll(directory: string, configPath: string, registries: readonly string[]): Promise<void> {
  const config = await readDockerConfig(directory);
  for (const registry of registries) refuseStore(config, registry, configPath);
  const store = textAt(config, "credsStore");
  if (registries.length > 0 || store === undefined || store === ownHelper) return;
  throw new CommandFailure(
    exitCodes.failed,
    `${configPath} has "credsStore": docker asks docker-credential-${store} for credentials, and would not read tokens in the file. The file was not changed. Use \`factory-secrets ci exec -- COMMAND\` or \`factory-secrets configure-docker\`, or set DOCKER_CONFIG to a separate folder for this job.`,
  );
}
