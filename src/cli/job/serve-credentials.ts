import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { devNull } from "node:os";
import { Command } from "commander";
import type { Environment } from "../../settings/reader.js";
import { unknownAnswer } from "../client/ask-with-retries.js";
import type { ClientFlags } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { maskTexts } from "../client/output.js";
import { type CommandContext, openClient } from "./command-context.js";
import { explainAnswer } from "./explain-answer.js";
import { askOfFactory, type JobClient } from "./request-tokens.js";
import { catchSignals, runCommand } from "./run-command.js";

type ServeFlags = ClientFlags & { registry?: string };

/** `ci serve-credentials`, without the options that all commands of a job share. */
export function serveCredentialsCommand(): Command {
  return new Command("serve-credentials")
    .description("run a command that finds AWS credentials, limited to what this job may pull")
    .argument("<command...>", "what to run, after --")
    .option("--registry <host>", "the entry of type aws; not needed when there is only one")
    .addHelpText(
      "after",
      `
It serves the credentials on 127.0.0.1 and renews them until the command ends. The exit code is that of the command, 128
and the signal's number after a signal, or 125 when the command was not started. The command does not see other AWS
credentials (in the environment, ~/.aws/credentials and ~/.aws/config), because AWS's programs prefer those. Name the
region with AWS_REGION or on the command line.

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
    // Any other code is that of the command.
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

/** What AWS's programs prefer to a container's endpoint. */
const preferredByAws = [
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
  const kept = Object.entries(environment).filter(([name]) => !preferredByAws.includes(name));
  return {
    ...Object.fromEntries(kept),
    AWS_CONTAINER_CREDENTIALS_FULL_URI: url,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: token,
    // A profile in either file would be preferred too.
    AWS_SHARED_CREDENTIALS_FILE: devNull,
    AWS_CONFIG_FILE: devNull,
  };
}

/** Temporary AWS credentials, with AWS's names. */
export type AwsCredentials = { AccessKeyId: string; SecretAccessKey: string; Token: string; Expiration: string };

/**
 * Asks for AWS credentials that are limited to what this job may pull.
 * @param registry - host or id of the entry; not needed with only one of type aws
 * @throws CommandFailure when the service refuses or does not answer
 */
export async function requestCredentials(client: JobClient, registry: string | undefined): Promise<AwsCredentials> {
  const query = registry === undefined ? "" : `?registry=${encodeURIComponent(registry)}`;
  const answer = await askOfFactory(client, { method: "GET", path: `aws-credentials${query}` });
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const AccessKeyId = textAt(answer.body, "AccessKeyId");
  const SecretAccessKey = textAt(answer.body, "SecretAccessKey");
  const Token = textAt(answer.body, "Token");
  const Expiration = textAt(answer.body, "Expiration");
  if (AccessKeyId === undefined || SecretAccessKey === undefined || Token === undefined || Expiration === undefined) {
    throw unknownAnswer(client.settings.url);
  }
  return { AccessKeyId, SecretAccessKey, Token, Expiration };
}

/** A container's credentials endpoint on this machine. */
export type CredentialsServer = {
  /** For `AWS_CONTAINER_CREDENTIALS_FULL_URI`. */
  url: string;
  /** For `AWS_CONTAINER_AUTHORIZATION_TOKEN`. */
  token: string;
  close(): Promise<void>;
};

/** AWS's programs refresh when fifteen minutes are left. */
const renewWithinMs = 15 * 60 * 1000;

/**
 * Serves credentials on a free port of 127.0.0.1 to programs that know a random token. They stay in memory, and are
 * renewed when less than fifteen minutes are left; while renewing fails, the old ones are served until they expire.
 * @param first - for the first answer: AWS's programs wait only two seconds
 * @param renew - throws CommandFailure
 */
export async function serveCredentials(
  first: AwsCredentials,
  renew: () => Promise<AwsCredentials>,
): Promise<CredentialsServer> {
  const token = randomBytes(32).toString("base64url");
  let current = first;
  let renewing: Promise<AwsCredentials> | undefined;
  const renewOnce = (): Promise<AwsCredentials> => {
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
    return renewing;
  };
  const credentials = async (): Promise<AwsCredentials> => {
    if (leftMs(current) >= renewWithinMs) return current;
    try {
      current = await renewOnce();
    } catch (error) {
      if (leftMs(current) <= 0) throw error;
    }
    return current;
  };
  const server = createServer((request, response) => void answer(request, response, token, credentials));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A later error is of one connection, such as a missing file descriptor.
  server.on("error", () => undefined);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/credentials`,
    token,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  credentials: () => Promise<AwsCredentials>,
): Promise<void> {
  if (!isSame(request.headers.authorization ?? "", token)) {
    return reply(response, 403, {
      Code: "AccessDenied",
      Message: "The authorization token is not that of this command.",
    });
  }
  if (request.method !== "GET" || request.url !== "/credentials") {
    return reply(response, 404, { Code: "NotFound", Message: "Only GET /credentials exists." });
  }
  try {
    reply(response, 200, await credentials());
  } catch (error) {
    const message = error instanceof CommandFailure ? error.message : "The credentials could not be renewed.";
    reply(response, 503, { Code: "Unavailable", Message: message });
  }
}

function reply(response: ServerResponse, status: number, body: Readonly<Record<string, string>>): void {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
  response.end(JSON.stringify(body));
}

// Hashed first: timingSafeEqual takes equal lengths only.
function isSame(given: string, token: string): boolean {
  return timingSafeEqual(hash("sha256", given, "buffer"), hash("sha256", token, "buffer"));
}

function leftMs({ Expiration }: AwsCredentials): number {
  return Date.parse(Expiration) - Date.now();
}
