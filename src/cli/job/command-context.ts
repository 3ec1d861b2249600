import { homedir } from "node:os";
import * as path from "node:path";
import type { Environment } from "../../settings/reader.js";
import { type ClientFlags, isPlainHttp, readClientSettings } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { standardTerminal, type Terminal } from "../client/output.js";
import { dockerConfigDirectory } from "./docker-config.js";
import { findIdentity, operatorTokenWarning } from "./find-identity.js";

import type { JobClient, Wanted } from "./request-tokens.js";

/** What the commands work with. */
export type CommandContext = {
  environment: Environment;
  terminal: Terminal;
  /** docker's configuration folder. */
  dockerDirectory: string;
};

/** What stands on the command line of those that ask for tokens. */
export type TokenFlags = ClientFlags & {
  registry?: readonly string[];
  repository?: readonly string[];
  allowPartial?: boolean;
  allowBroader?: boolean;
};

export function openContext(environment: Environment): CommandContext {
  return {
    environment,
    terminal: standardTerminal(),
    dockerDirectory: dockerConfigDirectory(environment, homedir(), path),
  };
}

/** Finds out who asks whom. @throws CommandFailure when that cannot be told */
export function openClient({ environment, terminal }: CommandContext, flags: ClientFlags): JobClient {
  const settings = readClientSettings(environment, flags);
  const identity = findIdentity({ environment, settings });
  if (isPlainHttp(settings.url)) terminal.say(`Warning: tokens travel to ${settings.url} over plain HTTP.`);
  if (identity.isOperator === true) terminal.say(operatorTokenWarning(settings.factory));
  return { settings, identity, terminal };
}

/** @throws CommandFailure when it cannot be told whose repositories are meant */
export function wantedBy({ registry = [], repository = [], allowPartial, allowBroader }: TokenFlags): Wanted {
  if (repository.length > 0 && registry.length !== 1)
    throw new CommandFailure(
      exitCodes.usage,
      "--repository needs exactly one --registry: say whose repositories these are. Log in to each registry in turn; what is there already stays.",
    );
  return {
    registries: registry,
    repositories: repository,
    allowPartial: allowPartial === true,
    allowBroader: allowBroader === true,
  };
}
