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
import type { Terminal } from "../client/terminal.js";
import type { OperatorContext } from "./operator-context.js";
import { identityOf, type OperatorIdentity, ofEnvironment } from "./operator-identity.js";
import { exposedPath, readLogins, type SavedLogin } from "./saved-logins.js";

/** A service that can be asked. */
export type OperatorClient = {
  connection: Connection;
  /** Absent where none was named: some commands need none. */
  factory: string | undefined;
  identity: OperatorIdentity;
  terminal: Terminal;
};

/**
 * Finds out who asks whom: the command line wins over the environment, and that over what `login` has kept. A token
 * that was kept for one service is never sent to another.
 * @throws CommandFailure `noIdentity` when there is neither a token nor a login
 */
export async function openClient(context: OperatorContext, flags: ConnectionFlags): Promise<OperatorClient> {
  const { environment, terminal } = context;
  const url = urlNamed(environment, flags);
  const factory = factoryNamed(environment, flags);
  const logins = await readLogins(context.loginDirectory);
  const token = settingOf(environment, "FACTORY_SECRETS_TOKEN");
  const login =
    token === undefined ? fittingLogin(logins, url, factory) : logins.find((one) => one.url === (url ?? one.url));
  const credential = token === undefined ? login : { token };
  if (credential === undefined) throw notLoggedIn(url, factory);
  const connection = readConnection(environment, flags, login);
  if (isPlainHttp(connection.url)) terminal.say(`Warning: tokens travel to ${connection.url} over plain HTTP.`);
  if (token === undefined) await warnOfExposure(context);
  const description = token === undefined ? `the login that is kept for ${connection.url}` : ofEnvironment;
  const identity = identityOf(credential, description, connection);
  return { connection, factory: factory ?? login?.factory, identity, terminal };
}

/** The factory that is meant. @throws CommandFailure when none is named */
export function factoryOf({ factory }: OperatorClient): string {
  if (factory === undefined) throw noFactoryNamed();
  return factory;
}

/** The newest login that is for this service and this factory. */
export function fittingLogin(
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

async function warnOfExposure({ loginDirectory, terminal }: OperatorContext): Promise<void> {
  const path = await exposedPath(loginDirectory);
  if (path !== undefined) terminal.say(`Warning: others on this machine may read your logins. Run: chmod 600 ${path}`);
}

function notLoggedIn(url: string | undefined, factory: string | undefined): CommandFailure {
  const place = `${url === undefined ? "" : ` to ${url}`}${factory === undefined ? "" : ` for the factory "${factory}"`}`;
  const command = url === undefined ? "factory-secrets login" : `factory-secrets login --url ${url}`;
  return new CommandFailure(
    exitCodes.noIdentity,
    `There is no login${place}. Run \`${command}\`, or set FACTORY_SECRETS_URL and FACTORY_SECRETS_TOKEN (or FACTORY_SECRETS_TOKEN_FILE).`,
  );
}
