import { join } from "node:path";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { objectAt } from "../client/json-value.js";
import { hostOfKey, keyOfHost } from "./docker-config/auth-entries.js";
import { changeDockerConfig } from "./docker-config/config-file.js";
import { ownHelper } from "./docker-config/credential-stores.js";
import type { RegistryToken } from "./registry-token.js";

export type Configured = {
  configPath: string;
  hosts: readonly string[];
  /** Registries that only give bearers, which a credential helper cannot hand to docker. */
  bearers: readonly string[];
};

/** The hosts that were named, as docker spells them. @throws CommandFailure for what is no host */
export function hostsNamed(registries: readonly string[]): string[] {
  return registries.map((registry) => {
    const host = hostOfKey(registry);
    if (host !== undefined) return host;
    throw new CommandFailure(exitCodes.usage, "--registry is the host of a registry, such as registry.gitlab.com.");
  });
}

/** What the factory's tokens say of its hosts. */
export function hostsOfTokens(tokens: readonly RegistryToken[]): Pick<Configured, "hosts" | "bearers"> {
  const hosts = tokens.filter(({ kind }) => kind === "password").map(({ registry }) => registry);
  return { hosts, bearers: tokens.filter(({ kind }) => kind === "bearer").map(({ registry }) => registry) };
}

/** Has docker ask our credential helper for these hosts. All other members of `config.json` stay as they are. */
export async function configureDocker(directory: string, hosts: readonly string[]): Promise<string> {
  const ours = Object.fromEntries(hosts.map((host) => [keyOfHost(host), ownHelper]));
  await changeDockerConfig(directory, async (config) => {
    if (hosts.length === 0) return config;
    return { ...config, credHelpers: { ...objectAt(config, "credHelpers"), ...ours } };
  });
  return join(directory, "config.json");
}
