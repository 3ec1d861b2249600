// A docker configuration of the job's own, made from the user's: as `factory-secrets ci exec` makes one for a command.
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { Failure } from "./failure.mjs";

/** Source: docker documentation, "docker (base command)", configuration files. */
export const usersFolder = (environment) => resolve(environment.DOCKER_CONFIG || join(homedir(), ".docker"));

/**
 * An empty folder that only this user reads.
 * @throws Failure when docker itself could not read the user's: a token that nobody will read should not be made
 */
export async function makeOwnFolder(home, users) {
  await readConfig(users);
  const folder = join(home, "docker");
  await mkdir(folder, { mode: 0o700 });
  return folder;
}

/**
 * Adds to the tokens in `folder` what stands in the user's own: other logins, settings, and its folders (buildx/,
 * cli-plugins/, contexts/) as links.
 */
export async function addUsersOwn(folder, users) {
  const tokens = await readConfig(folder);
  const merged = merge(await readConfig(users), tokens.auths ?? {});
  await writeFile(join(folder, "config.json"), `${JSON.stringify(merged, undefined, "\t")}\n`, { mode: 0o600 });
  for (const name of await readdir(users).catch(() => [])) {
    const target = join(users, name);
    const isFolder = await stat(target).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isFolder) await symlink(target, join(folder, name), "junction");
  }
}

/**
 * docker reads `auths` for our registries, and asks the user's store or helper for all others as before.
 * Source: docker/cli, cli/config/configfile: a helper comes before the store, and each of them before `auths`. For each
 * login that its store holds docker leaves an empty entry in `auths`.
 */
function merge({ credsStore, credHelpers, ...config }, tokens) {
  const stored = credsStore ? Object.keys(config.auths ?? {}).map((key) => [key, credsStore]) : [];
  const kept = [...stored, ...Object.entries(credHelpers ?? {})].filter(([key]) => !Object.hasOwn(tokens, key));
  return {
    ...config,
    auths: { ...config.auths, ...tokens },
    ...(kept.length > 0 && { credHelpers: Object.fromEntries(kept) }),
  };
}

async function readConfig(folder) {
  const path = join(folder, "config.json");
  const text = await readFile(path, "utf8").catch(() => "");
  if (text.trim() === "") return {};
  const config = parse(text);
  const parts = [config, config?.auths ?? {}, config?.credHelpers ?? {}];
  if (parts.every((part) => typeof part === "object" && part !== null && !Array.isArray(part))) return config;
  throw new Failure(`${path} is not what docker writes. It is left as it is: mend or remove it.`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What later steps need to find the tokens, by name. */
export function variablesFor(folder, users, environment) {
  const given = environment.REGISTRY_AUTH_FILE;
  // Where the action is used twice, the folder of the first use is the user's for the second.
  const isOfDocker = !given || resolve(given) === join(users, "config.json");
  return {
    DOCKER_CONFIG: folder,
    // Where there are no builders yet, those made later would be removed with the folder.
    BUILDX_CONFIG: environment.BUILDX_CONFIG || join(users, "buildx"),
    // podman, buildah and skopeo do not look at DOCKER_CONFIG (containers-auth.json(5)).
    REGISTRY_AUTH_FILE: isOfDocker ? join(folder, "config.json") : given,
  };
}
