import { resolve } from "node:path";
import { type ConnectionFlags, factoryNamed, readConnection, serviceUrl, urlNamed } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, textAt } from "../client/json-value.js";
import { call } from "./call.js";
import type { LocalRun, Row, Run } from "./command.js";
import { readCredential } from "./given-input.js";
import { identityOf, matchingLogin, type OperatorClient, type OperatorContext } from "./operator-client.js";
import { detailsOf } from "./print.js";
import { forgetLogins, readLogins, type SavedCredential, saveLogin } from "./saved-logins.js";

export const loginRows: readonly Row[] = [
  {
    words: "login",
    about: "save where the service is and a token for it, for the commands that follow",
    options: [
      ["--token-file <file>", "read the token (or the client's secret) from a file; - is standard input"],
      ["--client-id <id>", "log in as an OAuth client; you are asked for its secret"],
    ],
    more: "You are asked for the token, which is not shown, or it is read from standard input. It is saved in\n~/.config/factory-secrets/config.json (XDG_CONFIG_HOME), for this user alone. FACTORY_SECRETS_TOKEN wins over it.",
    runLocally: login,
    example: "factory-secrets login --url https://secrets.example.com --factory acme",
  },
  {
    words: "logout",
    about: "forget the login that would be used",
    options: [["--all", "all logins"]],
    more: "The token itself stays valid. To withdraw it: factory-secrets api-tokens rm ID.",
    runLocally: logout,
  },
  {
    words: "whoami",
    about: "who you are to the service, and what you may do",
    run: whoAmI,
  },
];

type LoginFlags = ConnectionFlags & { tokenFile?: string; clientId?: string };

async function whoAmI({ client, print }: Run): Promise<void> {
  const { body } = await call(client, "whoAmI");
  const own = { service: client.connection.url, credential: client.identity.description };
  await print(body, () => detailsOf({ ...own, ...(isObject(body) ? body : {}) }));
}

async function login({ context, given, isForProgram, print }: LocalRun): Promise<void> {
  const { environment, terminal, person } = context;
  const flags = given<LoginFlags>();
  const asked = async (): Promise<string> => serviceUrl(await person.ask("URL of the service: "), "The URL");
  const url = urlNamed(environment, flags) ?? (person.isAtTerminal ? await asked() : undefined);
  const connection = readConnection(environment, { ...flags, ...(url !== undefined && { url }) });
  const credential = await credentialFor(context, flags);
  const identity = identityOf(credential, "the given credential", connection);
  const client: OperatorClient = { connection, factory: undefined, identity, terminal };
  // A login that does not work is not saved.
  const { body } = await call(client, "whoAmI");
  const own = textAt(body, "factory");
  const named = factoryNamed(environment, flags);
  if (named !== undefined) await checkFactory(client, own, named);
  const factory = own ?? named;
  const caFile = flags.caFile ?? environment.FACTORY_SECRETS_CA_FILE;
  const path = await saveLogin(context.loginDirectory, {
    url: connection.url,
    anyFactory: own === undefined,
    ...(factory !== undefined && { factory }),
    ...(caFile && { caFile: resolve(caFile) }),
    ...credential,
  });
  const name = textAt(body, "name") ?? "";
  if (isForProgram) await print({ url: connection.url, factory, name, path }, () => "");
  terminal.say(`Logged in to ${connection.url}${placeOf(factory)} as "${name}". Saved in ${path}.`);
  if (factory === undefined) terminal.say("No factory was named. Pass --factory NAME to login or to each command.");
  if (environment.FACTORY_SECRETS_TOKEN || environment.FACTORY_SECRETS_TOKEN_FILE)
    terminal.say("Warning: FACTORY_SECRETS_TOKEN is set and wins over this login. Unset it to use the login.");
}

/** @throws CommandFailure when the credential is for another factory, or the factory does not exist */
async function checkFactory(client: OperatorClient, own: string | undefined, named: string): Promise<void> {
  if (own === undefined) await call({ ...client, factory: named }, "getFactory");
  else if (own !== named)
    throw new CommandFailure(
      exitCodes.notAccepted,
      `The credential is for the factory "${own}", not for "${named}". The login was not saved.`,
    );
}

async function credentialFor(context: OperatorContext, flags: LoginFlags): Promise<SavedCredential> {
  const { tokenFile, clientId } = flags;
  const source = { fromFile: tokenFile };
  if (clientId === undefined) return { token: await readCredential(context, source, "Token") };
  return { clientId, clientSecret: await readCredential(context, source, `Secret of the client ${clientId}`) };
}

async function logout({ context, given, isForProgram, print }: LocalRun): Promise<void> {
  const { environment, terminal, loginDirectory } = context;
  const flags = given<ConnectionFlags & { all?: boolean }>();
  const logins = await readLogins(loginDirectory);
  const matching = matchingLogin(logins, urlNamed(environment, flags), factoryNamed(environment, flags));
  const forgotten = flags.all === true ? logins : matching === undefined ? [] : [matching];
  if (isForProgram) await print({ items: forgotten.map(({ url, factory }) => ({ url, factory })) }, () => "");
  if (forgotten.length === 0)
    return terminal.say("No login was forgotten: none is saved for this service and factory.");
  await forgetLogins(loginDirectory, forgotten);
  for (const { url, factory } of forgotten) terminal.say(`Forgot the login to ${url}${placeOf(factory)}.`);
}

const placeOf = (factory: string | undefined): string => (factory === undefined ? "" : `, factory "${factory}"`);
