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
  /** Where logins are kept while they are fresh. */
  cacheDirectory: string;
  now: Date;
  /** Shows a line to the person who runs docker. */
  warn?: (line: string) => void;
};

const usage = "Usage: docker-credential-factory-secrets get|list|store|erase|version";

/** docker waits without a word. */
const patienceSeconds = "20";

/**
 * Answers docker's credential-helper protocol: the command is the argument, the registry comes as text.
 * Source: docker/docker-credential-helpers, credentials/credentials.go, and README "Development".
 * @param input - all of standard input
 * @returns what to print
 * @throws CommandFailure with what to print in its place. Its text is never "credentials not found in native keychain":
 * docker would go on as if there were nothing to log in to, and the refusal would look like a missing image.
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
        "factory-secrets gets the tokens of this registry by itself, when they are needed. No docker login is needed.",
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
      `${registry} gives a bearer, and a credential helper can only hand a password to docker. Use \`factory-secrets ci login --registry ${registry}\` or \`factory-secrets ci exec\`.`,
    );
  const { username, password, refreshAfter } = token;
  // A cache that cannot be written costs time, not the build.
  await writeCached(deps.cacheDirectory, key, { username, password, refreshAfter }, deps.now).catch(() => undefined);
  return JSON.stringify({ ServerURL: server, Username: username, Secret: password });
}

/** The hosts for which docker asks this helper. It asks for the login itself with `get`. */
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
  const settings = readClientSettings(environment, { timeout: patienceSeconds });
  const identity = findIdentity({ environment, settings });
  // docker takes all that a helper says for its answer.
  return {
    settings: { ...settings, isPatienceFixed: true },
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
  throw new CommandFailure(exitCodes.failed, "docker named no registry that could be looked for.");
}

/** `factory-secrets` in the user's folder for caches (XDG Base Directory Specification). */
export function cacheDirectoryOf(environment: Environment, home: string): string {
  return join(environment.XDG_CACHE_HOME || join(home, ".cache"), "factory-secrets");
}
