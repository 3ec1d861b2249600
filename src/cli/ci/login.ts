import { join } from "node:path";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { hasMark, withMark } from "../client/marks.js";
import { authOf, keyOfHost, markOf, withAuths } from "./docker-config/auth-entries.js";
import { changeDockerConfig, readDockerConfig } from "./docker-config/config-file.js";
import { ownHelper, refuseStore, storeFor } from "./docker-config/credential-stores.js";
import { readLoginRecord, removeLoginRecord, writeLoginRecord } from "./docker-config/login-record.js";
import type { RegistryFailure, RegistryToken } from "./registry-token.js";
import { type JobClient, requestTokens, type Wanted } from "./request-tokens.js";

export type LoggedIn = {
  /** The file that was changed. */
  configPath: string;
  tokens: readonly RegistryToken[];
  /** Hosts that docker asks our credential helper for by itself: nothing was written for them. */
  asksItself: readonly string[];
  failures: readonly RegistryFailure[];
};

/**
 * Writes tokens into docker's `config.json`, beside what stands there.
 * @param directory - docker's configuration folder
 * @throws CommandFailure when the service refuses, or docker would not read what is written
 */
export async function login(client: JobClient, directory: string, wanted: Wanted): Promise<LoggedIn> {
  const configPath = join(directory, "config.json");
  const named = wanted.requests?.map(({ registry }) => registry) ?? wanted.registries;
  await refuseStoreForAll(directory, configPath, named);
  const { tokens, failures } = await requestTokens(client, wanted);
  const written: RegistryToken[] = [];
  const asksItself: string[] = [];
  await changeDockerConfig(directory, async (config, realDirectory) => {
    for (const token of tokens) refuseStore(config, token.registry, configPath);
    const isOurs = ({ registry }: RegistryToken): boolean => storeFor(config, registry) === ownHelper;
    // The change is made again when the lock was lost.
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
  return { configPath, tokens: written, asksItself, failures };
}

/** What was removed, and what was not because somebody has put something else there since. */
export type LoggedOut = { configPath: string; removed: readonly string[]; kept: readonly string[] };

/** Removes from `config.json` what `login` wrote there, and nothing else. */
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

/** Before anything is asked for: a token that nobody will read should not be made. */
async function refuseStoreForAll(directory: string, configPath: string, registries: readonly string[]): Promise<void> {
  const config = await readDockerConfig(directory);
  for (const registry of registries) refuseStore(config, registry, configPath);
  const store = textAt(config, "credsStore");
  if (registries.length > 0 || store === undefined || store === ownHelper) return;
  throw new CommandFailure(
    exitCodes.failed,
    `${configPath} has "credsStore": docker asks docker-credential-${store} for credentials, and would not read tokens that are written there. It is left as it is. Use \`factory-secrets ci exec -- COMMAND\` or \`factory-secrets configure-docker\`, or set DOCKER_CONFIG to a folder of this job's own.`,
  );
}
