import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { objectAt, textAt } from "../../client/json-value.js";
import { keyOfHost } from "./auth-entries.js";
import type { DockerConfig } from "./config-file.js";

/** The name of our credential helper: docker runs `docker-credential-<name>`. */
export const ownHelper = "factory-secrets";

/**
 * The program that docker asks for a registry's credentials instead of reading `auths`; `undefined` when it reads.
 * Source: docker/cli, cli/config/configfile, getConfiguredCredentialStore.
 */
export function storeFor(config: DockerConfig, host: string): string | undefined {
  const helpers = objectAt(config, "credHelpers");
  const key = keyOfHost(host);
  return Object.hasOwn(helpers, key) ? textAt(helpers, key) : textAt(config, "credsStore");
}

/** @throws CommandFailure when docker would not look at what is written for this host */
export function refuseStore(config: DockerConfig, host: string, path: string): void {
  const store = storeFor(config, host);
  if (store === undefined || store === ownHelper) return;
  const member = Object.hasOwn(objectAt(config, "credHelpers"), keyOfHost(host)) ? "credHelpers" : "credsStore";
  throw new CommandFailure(
    exitCodes.failed,
    `${path} has "${member}": docker asks docker-credential-${store} for ${host}, and would not read a token that is written there. It is left as it is. Use \`factory-secrets ci exec -- COMMAND\`, or \`factory-secrets configure-docker --registry ${host}\`, or set DOCKER_CONFIG to a folder of this job's own.`,
  );
}

/**
 * A configuration in which docker reads `auths` for `hosts`, and asks its store for all others as before: those that
 * the store is known to hold are named one by one.
 */
export function withoutStoreFor(config: DockerConfig, hosts: readonly string[]): DockerConfig {
  const { credsStore, ...others } = config;
  const ours = new Set(hosts.map(keyOfHost));
  const helpers = Object.entries(objectAt(config, "credHelpers"));
  // docker leaves an empty entry in `auths` for each login that its store holds.
  const stored = typeof credsStore === "string" && credsStore !== "" ? Object.keys(objectAt(config, "auths")) : [];
  const kept = [...stored.map((key): [string, unknown] => [key, credsStore]), ...helpers];
  const credHelpers = Object.fromEntries(kept.filter(([key]) => !ours.has(key)));
  return Object.keys(credHelpers).length > 0 ? { ...others, credHelpers } : withoutHelpers(others);
}

function withoutHelpers(config: DockerConfig): DockerConfig {
  const { credHelpers: _, ...others } = config;
  return others;
}
