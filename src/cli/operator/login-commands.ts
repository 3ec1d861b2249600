import { resolve } from "node:path";
import type { Command } from "commander";
import { type ConnectionFlags, factoryNamed, readConnection, serviceUrl, urlNamed } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, textAt } from "../client/json-value.js";
import { ask, pathOf } from "./ask-service.js";
import { type CommandDeps, localCommand, serviceCommand } from "./define-command.js";
import { fittingLogin, type OperatorClient } from "./operator-client.js";
import type { OperatorContext } from "./operator-context.js";
import { identityOf } from "./operator-identity.js";
import { detailsOf, printReply } from "./print-reply.js";
import { readCredential } from "./read-value.js";
import { forgetLogins, keepLogin, readLogins, type SavedCredential } from "./saved-logins.js";

type LoginFlags = ConnectionFlags & { tokenFile?: string; clientId?: string };

/** `login`, `logout`, `whoami`. */
export function loginCommands(deps: CommandDeps): Command[] {
  return [
    localCommand<LoginFlags>(
      deps,
      {
        name: "login",
        about: "keep where the service is and a token for it, for the commands that follow",
        options: [
          ["--token-file <file>", "read the token (or the client's secret) from a file; - is standard input"],
          ["--client-id <id>", "log in as an OAuth client; its secret is asked for"],
        ],
        more: "The token is asked for without being shown, or read from standard input. It is kept in\n~/.config/factory-secrets/config.json (XDG_CONFIG_HOME), for this user alone. FACTORY_SECRETS_TOKEN wins over it.",
        example: "factory-secrets login --url https://secrets.example.com --factory acme",
        connects: true,
      },
      login,
    ),
    localCommand<ConnectionFlags & { all?: boolean }>(
      deps,
      {
        name: "logout",
        about: "forget a login: the one that would be used",
        options: [["--all", "all of them"]],
        more: "The token itself stays valid. To withdraw it: factory-secrets api-tokens rm ID.",
        example: "factory-secrets logout",
        connects: true,
      },
      logout,
    ),
    serviceCommand(
      deps,
      { name: "whoami", about: "who asks, and what they may do", prints: true, example: "factory-secrets whoami" },
      async ({ context, client }, { output }) => {
        const { body } = await ask(client, { method: "GET", path: "/v1/whoami" });
        const known = { service: client.connection.url, credential: client.identity.description };
        await printReply(context, output, body, () => detailsOf({ ...known, ...(isObject(body) ? body : {}) }));
      },
    ),
  ];
}

async function login(context: OperatorContext, flags: LoginFlags): Promise<void> {
  const { environment, terminal, person } = context;
  const asked = async (): Promise<string> => serviceUrl(await person.ask("URL of the service: "), "It");
  const url = urlNamed(environment, flags) ?? (person.isThere ? await asked() : undefined);
  const connection = readConnection(environment, { ...flags, ...(url !== undefined && { url }) });
  const credential = await credentialFor(context, flags);
  const identity = identityOf(credential, "what was given", connection);
  const client: OperatorClient = { connection, factory: undefined, identity, terminal };
  // A login that does not work is not kept.
  const { body } = await ask(client, { method: "GET", path: "/v1/whoami" });
  const own = textAt(body, "factory");
  const named = factoryNamed(environment, flags);
  if (named !== undefined) await checkFactory(client, own, named);
  const factory = own ?? named;
  const caFile = flags.caFile ?? environment.FACTORY_SECRETS_CA_FILE;
  const path = await keepLogin(context.loginDirectory, {
    url: connection.url,
    anyFactory: own === undefined,
    ...(factory !== undefined && { factory }),
    ...(caFile && { caFile: resolve(caFile) }),
    ...credential,
  });
  terminal.say(
    `Logged in to ${connection.url}${placeOf(factory)} as "${textAt(body, "name") ?? ""}". Kept in ${path}.`,
  );
  if (factory === undefined) terminal.say("No factory is named: give --factory, here or with each command.");
  if (environment.FACTORY_SECRETS_TOKEN || environment.FACTORY_SECRETS_TOKEN_FILE)
    terminal.say("FACTORY_SECRETS_TOKEN is set, and wins over this login.");
}

/** @throws CommandFailure when the credential is another factory's, or is an operator's and there is no such factory */
async function checkFactory(client: OperatorClient, own: string | undefined, named: string): Promise<void> {
  if (own === undefined)
    await ask({ ...client, factory: named }, { method: "GET", path: pathOf("v1", "factories", named) });
  else if (own !== named)
    throw new CommandFailure(exitCodes.notAccepted, `That is a credential of the factory "${own}", not of "${named}".`);
}

async function credentialFor(context: OperatorContext, flags: LoginFlags): Promise<SavedCredential> {
  const { tokenFile, clientId } = flags;
  const source = { fromFile: tokenFile };
  if (clientId === undefined) return { token: await readCredential(context, source, "Token") };
  return { clientId, clientSecret: await readCredential(context, source, `Secret of the client ${clientId}`) };
}

async function logout(context: OperatorContext, flags: ConnectionFlags & { all?: boolean }): Promise<void> {
  const { environment, terminal, loginDirectory } = context;
  const logins = await readLogins(loginDirectory);
  const fitting = fittingLogin(logins, urlNamed(environment, flags), factoryNamed(environment, flags));
  const forgotten = flags.all === true ? logins : fitting === undefined ? [] : [fitting];
  if (forgotten.length === 0) return terminal.say("There is no such login.");
  await forgetLogins(loginDirectory, forgotten);
  for (const { url, factory } of forgotten) terminal.say(`Forgot the login to ${url}${placeOf(factory)}.`);
}

const placeOf = (factory: string | undefined): string => (factory === undefined ? "" : `, factory "${factory}"`);
