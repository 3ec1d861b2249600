import { join } from "node:path";
import type { Environment } from "../../settings/reader.js";
import { readClientSettings } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { objectAt } from "../client/json-value.js";
import { ownVersion } from "../client/own-version.js";
import { hostOfKey, ownHelper, readDockerConfig } from "./docker-config.js";
import { findIdentity, operatorTokenWarning } from "./find-identity.js";
import { type JobClient, requestTokens } from "./request-tokens.js";
import { type CacheKey, readCached, removeCached, writeCached } from "./sealed-cache.js";

export type HelperDeps = {
  environment: Environment;
  /** docker's configuration folder. */
  dockerDirectory: string;
  cacheDirectory: string;
  now: Date;
  /** Shows a line to the person who runs docker. */
  warn?: (line: string) => void;
};

const usage = "Usage: docker-credential-factory-secrets get|list|store|erase|version";

/** docker shows nothing while it waits. */
const timeoutSeconds = "20";

/**
 * Implements docker's credential-helper protocol: the command is the argument, the registry is the input.
 * Source: docker/docker-credential-helpers, credentials/credentials.go, and README "Development".
 * @param input - all of standard input
 * @returns what to print
 * @throws CommandFailure with the text to print instead. It is never "credentials not found in native keychain": docker
 * would go on without a login, and a refusal would look like a missing image.
 */
export async function answerDocker(deps: HelperDeps, command: string | undefined, input: string): Promise<string> {
  switch (command) {
    case "get":
      return getLogin(deps, input.trim());
    case "list":
      return listHosts(deps.dockerDirectory);
    case "store":
      throw new CommandFailure(
        exitCodes.failed,
        "docker login is not needed: factory-secrets gets a token for this registry when docker needs one. To turn that off, remove the registry from credHelpers in docker's config.json.",
      );
    case "erase":
      return eraseLogin(deps, input.trim());
    case "version":
    case "--version":
      return `docker-credential-factory-secrets ${ownVersion()}`;
    case "--help":
    case "-h":
      return usage;
    default:
      throw new CommandFailure(exitCodes.failed, usage);
  }
}

async function getLogin(deps: HelperDeps, server: string): Promise<string> {
  const registry = registryOf(server);
  const client = clientOf(deps.environment);
  if (client.identity.isOperator === true) deps.warn?.(operatorTokenWarning(client.settings.factory));
  const key = keyOf(client, registry);
  const cached = await readCached(deps.cacheDirectory, key, deps.now);
  if (cached) return JSON.stringify({ ServerURL: server, Username: cached.username, Secret: cached.password });
  const wanted = { registries: [registry], repositories: [], allowPartial: false, allowBroader: false };
  const { tokens } = await requestTokens(client, wanted);
  const token = tokens.find((one) => one.registry === registry) ?? tokens[0];
  if (token?.kind !== "password")
    throw new CommandFailure(
      exitCodes.refused,
      `${registry} gives a bearer token, and a credential helper can pass only a password to docker. Use \`factory-secrets ci login --registry ${registry}\` or \`factory-secrets ci exec\`.`,
    );
  const { username, password, refreshAfter } = token;
  // Without a cache the next call takes longer; it must not fail the build.
  await writeCached(deps.cacheDirectory, key, { username, password, refreshAfter }, deps.now).catch(() => undefined);
  return JSON.stringify({ ServerURL: server, Username: username, Secret: password });
}

/** The hosts for which docker asks this helper. */
async function listHosts(dockerDirectory: string): Promise<string> {
  const helpers = Object.entries(objectAt(await readDockerConfig(dockerDirectory), "credHelpers"));
  const hosts = helpers.filter(([, helper]) => helper === ownHelper).map(([host]) => host);
  return JSON.stringify(Object.fromEntries(hosts.map((host) => [host, ownHelper])));
}

async function eraseLogin(deps: HelperDeps, server: string): Promise<string> {
  await removeCached(deps.cacheDirectory, keyOf(clientOf(deps.environment), registryOf(server)));
  return "";
}

function clientOf(environment: Environment): JobClient {
  const settings = readClientSettings(environment, { timeout: timeoutSeconds });
  const identity = findIdentity({ environment, settings });
  // docker takes everything on standard output for the answer.
  return {
    settings: { ...settings, isTimeoutFixed: true },
    identity,
    terminal: { say: () => undefined, note: () => undefined },
  };
}

function keyOf({ settings, identity }: JobClient, registry: string): CacheKey {
  return { identity: identity.secret, service: settings.url, factory: settings.factory, registry };
}

function registryOf(server: string): string {
  const host = hostOfKey(server);
  if (host !== undefined) return host;
  throw new CommandFailure(exitCodes.failed, "docker asked for a login and named no valid registry host.");
}

/** `factory-secrets` in the user's folder for caches (XDG Base Directory Specification). */
export function cacheDirectoryOf(environment: Environment, home: string): string {
  return join(environment.XDG_CACHE_HOME || join(home, ".cache"), "factory-secrets");
}
