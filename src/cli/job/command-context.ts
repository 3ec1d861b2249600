import { homedir } from "node:os";
import * as path from "node:path";
import type { Environment } from "../../settings/reader.js";
import { type ClientFlags, isPlainHttp, readClientSettings } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { standardTerminal, type Terminal } from "../client/output.js";
import { dockerConfigDirectory } from "./docker-config.js";
import { findIdentity, operatorTokenWarning } from "./find-identity.js";

import type { JobClient, Wanted } from "./request-tokens.js";

/** What the commands of a job work with. */
export type CommandContext = {
  environment: Environment;
  terminal: Terminal;
  /** docker's configuration folder. */
  dockerDirectory: string;
};

/** Options of the commands that ask for tokens. */
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

/** Finds the service and the identity of the job. @throws CommandFailure when one is missing */
export function openClient({ environment, terminal }: CommandContext, flags: ClientFlags): JobClient {
  const settings = readClientSettings(environment, flags);
  const identity = findIdentity({ environment, settings });
  if (isPlainHttp(settings.url))
    terminal.say(`Warning: tokens are sent to ${settings.url} over plain HTTP, unencrypted. Use https://.`);
  if (identity.isOperator === true) terminal.say(operatorTokenWarning(settings.factory));
  return { settings, identity, terminal };
}

/** @throws CommandFailure for --repository without exactly one --registry */
export function wantedBy({ registry = [], repository = [], allowPartial, allowBroader }: TokenFlags): Wanted {
  if (repository.length > 0 && registry.length !== 1)
    throw new CommandFailure(
      exitCodes.usage,
      "--repository needs exactly one --registry. For several registries run the command once for each; earlier logins stay.",
    );
  return {
    registries: registry,
    repositories: repository,
    allowPartial: allowPartial === true,
    allowBroader: allowBroader === true,
  };
}
