import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, readlink, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, type PlatformPath, resolve } from "node:path";
import { errorCode, systemReason } from "../../core/error-code.js";
import { dockerHubHost, normaliseHost } from "../../core/normalise-host.js";
import type { Environment } from "../../settings/reader.js";
import { holdLock, replaceFile } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject, objectAt, parseJson, textAt } from "../client/json-value.js";
import type { Credential } from "./registry-token.js";

/** The content of `config.json`. Three of its members are used here; all others stay as they are. */
export type DockerConfig = JsonObject;

/** How often this process may lose the lock (it was stopped for long) before it gives up. */
const maxAttempts = 5;

/**
 * Reads `config.json`; an empty one when there is no file.
 * @throws CommandFailure when it cannot be read or is not valid
 */
export async function readDockerConfig(directory: string): Promise<DockerConfig> {
  return readConfigFile(join(directory, "config.json"));
}

/**
 * Changes `config.json` atomically, under a lock among all `factory-secrets`. Members keep their order.
 * @param change - takes the content and the real folder of the file, and returns the new content; the same object leaves
 * the file as it is
 */
export async function changeDockerConfig(
  directory: string,
  change: (config: DockerConfig, realDirectory: string) => Promise<DockerConfig>,
): Promise<void> {
  await withWriteErrors(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // The lock is next to the real file: several links may lead to it.
    const path = await realFile(join(directory, "config.json"));
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      const isDone = await holdLock(`${path}.factory-secrets-lock`, async ({ isStillMine }) => {
        const config = await readConfigFile(path);
        const changed = await change(config, dirname(path));
        return changed === config || replaceFile(path, formatConfig(changed), isStillMine);
      });
      if (isDone) return;
    }
    throw new CommandFailure(
      exitCodes.failed,
      `${path} could not be changed: other programs held its lock. Run the command again.`,
    );
  });
}

/** As docker writes it. */
export const formatConfig = (config: DockerConfig): string => `${JSON.stringify(config, undefined, "\t")}\n`;

async function readConfigFile(path: string): Promise<DockerConfig> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return "";
    throw new CommandFailure(exitCodes.failed, `${path} cannot be read (${systemReason(error)}).`);
  });
  if (text.trim() === "") return {};
  const config = parseJson(text);
  if (!isObject(config))
    throw new CommandFailure(
      exitCodes.failed,
      `${path} is not a JSON object. It was not changed. Correct or remove it.`,
    );
  for (const name of ["auths", "credHelpers"]) {
    if (config[name] !== undefined && config[name] !== null && !isObject(config[name]))
      throw new CommandFailure(
        exitCodes.failed,
        `"${name}" in ${path} is not a JSON object. The file was not changed. Correct it.`,
      );
  }
  return config;
}

async function withWriteErrors(directory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errorCode(error) === undefined || error instanceof CommandFailure) throw error;
    throw new CommandFailure(
      exitCodes.failed,
      `docker's configuration in ${directory} cannot be written (${systemReason(error)}). Set DOCKER_CONFIG to a folder that this user may write to.`,
    );
  }
}

/**
 * The folder with docker's `config.json`: `DOCKER_CONFIG`, or `.docker` in the user's home.
 * Source: docker documentation, "docker (base command)", configuration files.
 * @param path - path functions of the system that the names are for
 */
export function dockerConfigDirectory(environment: Environment, home: string, path: PlatformPath): string {
  return environment.DOCKER_CONFIG || path.join(home, ".docker");
}

/**
 * The target of `path` through symbolic links; it may not exist yet. Writing to the link itself would replace the link,
 * and other programs would keep using its old target.
 */
export async function realFile(path: string): Promise<string> {
  const found = await realpath(path).catch(() => undefined);
  if (found !== undefined) return found;
  const isLink = await lstat(path).then(
    (stat) => stat.isSymbolicLink(),
    () => false,
  );
  if (!isLink) return path;
  const target = await readlink(path);
  return isAbsolute(target) ? target : resolve(dirname(path), target);
}

/** docker's own key for Docker Hub in a config.json (docker/cli, cli/config/configfile). */
const dockerHubKey = "https://index.docker.io/v1/";

/** The member of `auths` and of `credHelpers` that docker looks for. */
export const keyOfHost = (host: string): string => (host === dockerHubHost ? dockerHubKey : host);

/** The host of a key of docker's, which may be a URL; `undefined` when it is not a host. */
export function hostOfKey(key: string): string | undefined {
  const whole = normaliseHost(key);
  if (whole.ok) return whole.host;
  const found = normaliseHost(key.replace(/^https?:\/\//i, "").replace(/[/?#].*$/, ""));
  return found.ok ? found.host : undefined;
}

/**
 * An entry of `auths`: `auth` for a user name and password; `registrytoken` for a bearer, which docker, BuildKit, buildx
 * and crane read (docker/cli, cli/config/types AuthConfig).
 */
export function authOf(credential: Credential): JsonObject {
  return credential.kind === "bearer"
    ? { registrytoken: credential.bearer }
    : { auth: basicOf(credential.username, credential.password) };
}

export const basicOf = (username: string, password: string): string =>
  Buffer.from(`${username}:${password}`, "utf8").toString("base64");

export type RegistryLogin = { registry: string } & Credential;

/** Adds or replaces the entry of each token's registry. */
export function withAuths(config: DockerConfig, tokens: readonly RegistryLogin[]): DockerConfig {
  const added = Object.fromEntries(tokens.map((token) => [keyOfHost(token.registry), authOf(token)]));
  return { ...config, auths: { ...objectAt(config, "auths"), ...added } };
}

/** The SHA-256 of an entry's credential, in hex: recognises an entry without storing it. */
export function markOf(entry: unknown): string | undefined {
  const credential = isObject(entry) ? (textAt(entry, "auth") ?? textAt(entry, "registrytoken")) : undefined;
  return credential === undefined ? undefined : createHash("sha256").update(credential).digest("hex");
}

/** The name of our credential helper: docker runs `docker-credential-<name>`. */
export const ownHelper = "factory-secrets";

/**
 * The program that docker asks for a registry's credentials instead of reading `auths`; `undefined` when it reads `auths`.
 * Source: docker/cli, cli/config/configfile, getConfiguredCredentialStore.
 */
export function storeFor(config: DockerConfig, host: string): string | undefined {
  const helpers = objectAt(config, "credHelpers");
  const key = keyOfHost(host);
  return Object.hasOwn(helpers, key) ? textAt(helpers, key) : textAt(config, "credsStore");
}

/** @throws CommandFailure when docker would not read an entry for this host */
export function refuseStore(config: DockerConfig, host: string, path: string): void {
  const store = storeFor(config, host);
  if (store === undefined || store === ownHelper) return;
  const member = Object.hasOwn(objectAt(config, "credHelpers"), keyOfHost(host)) ? "credHelpers" : "credsStore";
  throw new CommandFailure(
    exitCodes.failed,
    `${path} has "${member}": docker asks docker-credential-${store} for ${host}, and would not read a token in the file. The file was not changed. Use \`factory-secrets ci exec -- COMMAND\`, or \`factory-secrets configure-docker --registry ${host}\`, or set DOCKER_CONFIG to a separate folder for this job.`,
  );
}

/**
 * A configuration in which docker reads `auths` for `hosts`, and asks its store for the other logins that the store has.
 */
export function withoutStoreFor(config: DockerConfig, hosts: readonly string[]): DockerConfig {
  const { credsStore, ...others } = config;
  const ours = new Set(hosts.map(keyOfHost));
  const helpers = Object.entries(objectAt(config, "credHelpers"));
  // docker keeps an empty entry in `auths` for each login in its store.
  const stored = typeof credsStore === "string" && credsStore !== "" ? Object.keys(objectAt(config, "auths")) : [];
  const kept = [...stored.map((key): [string, unknown] => [key, credsStore]), ...helpers];
  const credHelpers = Object.fromEntries(kept.filter(([key]) => !ours.has(key)));
  return Object.keys(credHelpers).length > 0 ? { ...others, credHelpers } : withoutHelpers(others);
}

function withoutHelpers(config: DockerConfig): DockerConfig {
  const { credHelpers: _, ...others } = config;
  return others;
}
