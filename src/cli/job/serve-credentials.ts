import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { devNull } from "node:os";
import { Command } from "commander";
import type { Environment } from "../../settings/reader.js";
import type { ClientFlags } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { maskTexts } from "../client/output.js";
import { type CommandContext, openClient } from "./command-context.js";
import { explainAnswer } from "./explain-answer.js";
import { askOfFactory, type JobClient } from "./request-tokens.js";
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

/** Temporary AWS credentials in AWS's own names, as the service hands them out and AWS's programs read them. */
export type AwsCredentials = { AccessKeyId: string; SecretAccessKey: string; Token: string; Expiration: string };

/**
 * Asks for AWS credentials that are narrowed to what this job may pull.
 * @param registry - host or id of the entry; not needed where there is only one of type aws
 * @throws CommandFailure with the sentence for whoever reads the job's log
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
    throw new CommandFailure(
      exitCodes.unavailable,
      `What ${client.settings.url} answers is not what factory-secrets does. Is FACTORY_SECRETS_URL right?`,
    );
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

/** AWS's programs look for new ones when fifteen minutes are left. */
const enoughMs = 15 * 60 * 1000;

/**
 * Serves credentials on a free port of 127.0.0.1 to whoever knows a random token. They stay in memory, and new ones are
 * asked for when less than fifteen minutes are left; while that fails, the old ones are served as long as they live.
 * @param first - so that the first answer is there at once: AWS's programs wait for two seconds
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
    if (leftMs(current) >= enoughMs) return current;
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
  // Later errors are of one connection, such as one that finds no free file descriptor.
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
      Message: "The authorization token is not the one of this command.",
    });
  }
  if (request.method !== "GET" || request.url !== "/credentials") {
    return reply(response, 404, { Code: "NotFound", Message: "There is GET /credentials only." });
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

// Of equal length, whatever was sent.
function isSame(given: string, token: string): boolean {
  return timingSafeEqual(hash("sha256", given, "buffer"), hash("sha256", token, "buffer"));
}

function leftMs({ Expiration }: AwsCredentials): number {
  return Date.parse(Expiration) - Date.now();
}
