import { devNull } from "node:os";
import { Command } from "commander";
import type { Environment } from "../../settings/reader.js";
import type { ClientFlags } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { maskTexts } from "../client/mask.js";
import { type CredentialsServer, serveCredentials } from "./aws/credentials-server.js";
import { type AwsCredentials, requestCredentials } from "./aws/request-credentials.js";
import { type CommandContext, openClient } from "./command-context.js";
import { catchSignals, runCommand } from "./run-command.js";

type ServeFlags = ClientFlags & { registry?: string };

/** `ci serve-credentials`, without the options that all commands of a job have. */
export function serveCredentialsCommand(): Command {
  return new Command("serve-credentials")
    .description("run a command whose AWS programs find credentials that are narrowed to what this job may pull")
    .argument("<command...>", "what to run, after --")
    .option("--registry <host>", "for which entry of type aws; not needed where there is only one")
    .addHelpText(
      "after",
      `
It serves them on 127.0.0.1, renews them, and ends with the command: with its exit code, 128 and the signal's number
after a signal, 125 when it was not started. Other AWS credentials in the environment, ~/.aws/credentials and
~/.aws/config are kept from the command: AWS's programs would take those first. The region is then said by AWS_REGION, or
by the command.

Example:
  factory-secrets ci serve-credentials -- aws ecr get-login-password --region us-east-2`,
    );
}

/** @returns the exit code of the command */
export async function runServeCredentials(
  context: CommandContext,
  flags: ServeFlags,
  command: readonly string[],
): Promise<number> {
  const { environment, terminal } = context;
  try {
    const client = openClient(context, flags);
    const renew = async (): Promise<AwsCredentials> => {
      const credentials = await requestCredentials(client, flags.registry);
      maskTexts(environment, terminal, [credentials.SecretAccessKey, credentials.Token]);
      return credentials;
    };
    return await runBesideServer(context, command, await serveCredentials(await renew(), renew));
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    // All other numbers are the command's.
    throw new CommandFailure(exitCodes.notStarted, error.message);
  }
}

async function runBesideServer(
  { environment, terminal }: CommandContext,
  command: readonly string[],
  server: CredentialsServer,
): Promise<number> {
  const signals = catchSignals();
  try {
    maskTexts(environment, terminal, [server.token]);
    return await runCommand(command, withCredentials(environment, server), signals);
  } finally {
    await server.close();
    signals.release();
  }
}

/** What AWS's programs look at before a container's endpoint. */
const others = [
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_PROFILE",
  "AWS_DEFAULT_PROFILE",
  "AWS_ROLE_ARN",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

function withCredentials(environment: Environment, { url, token }: CredentialsServer): Environment {
  const kept = Object.entries(environment).filter(([name]) => !others.includes(name));
  return {
    ...Object.fromEntries(kept),
    AWS_CONTAINER_CREDENTIALS_FULL_URI: url,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: token,
    // A profile in either, with a role or a program of its own, would come first too.
    AWS_SHARED_CREDENTIALS_FILE: devNull,
    AWS_CONFIG_FILE: devNull,
  };
}
