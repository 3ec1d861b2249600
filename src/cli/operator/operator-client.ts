import { homedir } from "node:os";
import type { Environment } from "../../settings/reader.js";
import { explainForeignAnswer } from "../client/ask-with-retries.js";
import {
  type Connection,
  type ConnectionFlags,
  factoryNamed,
  isPlainHttp,
  noFactoryNamed,
  readConnection,
  settingOf,
  urlNamed,
} from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, sentenceAt, textAt } from "../client/json-value.js";
import { standardTerminal, type Terminal } from "../client/output.js";
import { NoAnswer, sendOnce } from "../client/send-once.js";
import { type Person, personAt, readInput } from "./given-input.js";
import { mayColour, type Paint, paintFor } from "./print.js";
import { exposedPath, loginDirectory, readLogins, type SavedCredential, type SavedLogin } from "./saved-logins.js";

/** The machine that a command runs on, and the person at it. */
export type OperatorContext = {
  environment: Environment;
  terminal: Terminal;
  /** Colours for `terminal.out`. */
  paint: Paint;
  person: Person;
  readInput(): Promise<Buffer>;
  loginDirectory: string;
};

export function openOperatorContext(environment: Environment): OperatorContext {
  const { stdin, stdout, stderr } = process;
  return {
    environment,
    terminal: standardTerminal(),
    paint: paintFor(mayColour(environment, stdout.isTTY === true)),
    person: personAt({ input: stdin, output: stderr, interrupt: () => process.kill(process.pid, "SIGINT") }),
    readInput: () => readInput(stdin, "The standard input"),
    loginDirectory: loginDirectory(environment, homedir()),
  };
}

/** A service and the credential for it. */
export type OperatorClient = {
  connection: Connection;
  /** `undefined` when none was named. */
  factory: string | undefined;
  identity: OperatorIdentity;
  terminal: Terminal;
};

/**
 * Finds the service and the credential: options win over the environment, and the environment over a saved login. A token
 * that was saved for one service is never sent to another.
 * @throws CommandFailure `noIdentity` without a token and a login
 */
export async function openClient(
  context: OperatorContext,
  flags: ConnectionFlags,
  needs: Needs = "credential",
): Promise<OperatorClient> {
  const { environment, terminal } = context;
  const url = urlNamed(environment, flags);
  const factory = factoryNamed(environment, flags);
  const logins = await readLogins(context.loginDirectory);
  const token = settingOf(environment, "FACTORY_SECRETS_TOKEN");
  const login =
    token === undefined ? matchingLogin(logins, url, factory) : logins.find((one) => one.url === (url ?? one.url));
  const credential = token === undefined ? login : { token };
  const missing = notLoggedIn(url, factory);
  if (credential === undefined && needs === "credential") throw missing;
  const connection = readConnection(environment, flags, login);
  if (isPlainHttp(connection.url))
    terminal.say(`Warning: tokens are sent to ${connection.url} over plain HTTP, unencrypted. Use https://.`);
  if (token === undefined) await warnOfExposure(context);
  const description = token === undefined ? `the saved login for ${connection.url}` : ofEnvironment;
  const identity: OperatorIdentity =
    credential === undefined
      ? { description, present: () => Promise.reject(missing) }
      : identityOf(credential, description, connection);
  return { connection, factory: factory ?? login?.factory, identity, terminal };
}

export type Needs = "credential" | "service";

/** The named factory. @throws CommandFailure when none was named */
export function factoryOf({ factory }: OperatorClient): string {
  if (factory === undefined) throw noFactoryNamed();
  return factory;
}

/** The newest login for this service and factory. */
export function matchingLogin(
  logins: readonly SavedLogin[],
  url: string | undefined,
  factory: string | undefined,
): SavedLogin | undefined {
  return logins.find(
    (login) =>
      (url === undefined || login.url === url) &&
      (factory === undefined || login.anyFactory || login.factory === factory),
  );
}

async function warnOfExposure({ loginDirectory: directory, terminal }: OperatorContext): Promise<void> {
  const path = await exposedPath(directory);
  if (path !== undefined)
    terminal.say(`Warning: other users of this machine can read your logins. To stop that: chmod 600 ${path}`);
}

function notLoggedIn(url: string | undefined, factory: string | undefined): CommandFailure {
  const place = `${url === undefined ? "" : ` to ${url}`}${factory === undefined ? "" : ` for the factory "${factory}"`}`;
  const command = url === undefined ? "factory-secrets login" : `factory-secrets login --url ${url}`;
  return new CommandFailure(
    exitCodes.noIdentity,
    `There is no login${place}. Run \`${command}\`, or set FACTORY_SECRETS_URL and FACTORY_SECRETS_TOKEN (or FACTORY_SECRETS_TOKEN_FILE).`,
  );
}

export type OperatorIdentity = {
  /** For messages: `ofEnvironment`, or the login. */
  description: string;
  /** A token that is valid now. */
  present(timeoutMs: number): Promise<string>;
};

export const ofEnvironment = "the token in FACTORY_SECRETS_TOKEN";

/** @param description - where the credential comes from, for messages */
export function identityOf(credential: SavedCredential, description: string, connection: Connection): OperatorIdentity {
  if ("token" in credential) return { description, present: () => Promise.resolve(credential.token) };
  let current: { token: string; untilMs: number } | undefined;
  return {
    description,
    async present(timeoutMs) {
      if (current === undefined || Date.now() >= current.untilMs)
        current = await exchange(credential, description, { ...connection, giveUpAfterMs: timeoutMs });
      return current.token;
    },
  };
}

type Client = { clientId: string; clientSecret: string };

/** An access token for a client. Source: RFC 6749, section 4.4. */
async function exchange(client: Client, description: string, connection: Connection) {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: client.clientId,
    client_secret: client.clientSecret,
  });
  const answer = await sendOnce({
    method: "POST",
    url: `${connection.url}/oauth/token`,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: form.toString(),
    authorities: connection.authorities,
    timeoutMs: connection.giveUpAfterMs,
  }).catch((error: unknown) => {
    // The actual request was not sent yet.
    throw error instanceof NoAnswer ? new NoAnswer(error.message, error.isTransient, true, error.mayBeTls) : error;
  });
  const token = textAt(answer.body, "access_token");
  const seconds = isObject(answer.body) ? answer.body.expires_in : undefined;
  if (answer.status === 200 && token !== undefined && typeof seconds === "number")
    return { token, untilMs: Date.now() + seconds * 1_000 };
  const detail = sentenceAt(answer.body, "detail");
  if (detail === undefined) throw explainForeignAnswer(connection.url, answer);
  const { status, retryAfterSeconds } = answer;
  if (retryAfterSeconds !== undefined || status === 429 || status >= 500)
    throw new NoAnswer(detail, true, true, false, retryAfterSeconds);
  throw new CommandFailure(exitCodes.notAccepted, `The service does not accept ${description}.\n${detail}`);
}
