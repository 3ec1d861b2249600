import type { Command } from "commander";
import { listAt, textAt } from "../client/json-value.js";
import { readTime } from "../client/read-time.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { clientSecretCommands } from "./client-secret-commands.js";
import { type CommandDeps, group, serviceCommand } from "./define-command.js";
import { factoryOf } from "./operator-client.js";
import { confirm } from "./person.js";
import { printNewCredential } from "./print-new-credential.js";
import { type Column, type OutputFlags, printItems } from "./print-reply.js";

/** What the commands about one kind of credential differ in. */
type Kind = {
  /** As in the path of the API, and the name of the group. */
  name: "api-tokens" | "oauth-clients";
  about: string;
  one: string;
  /** The member of a reply that holds the credential, which is shown once. */
  shownOnce: string;
  example: string;
};

const apiTokens: Kind = {
  name: "api-tokens",
  about: "tokens of people and programs, with permissions",
  one: "API token",
  shownOnce: "token",
  example: "factory-secrets api-tokens create 'build server' --role ci",
};

const oauthClients: Kind = {
  name: "oauth-clients",
  about: "clients for fioctl login and other programs",
  one: "OAuth client",
  shownOnce: "clientSecret",
  example: "factory-secrets oauth-clients create fioctl --role operator",
};

/** `api-tokens ...`, `oauth-clients ...`, `roles`. */
export function accessCommands(deps: CommandDeps): Command[] {
  const roles = serviceCommand(
    deps,
    { name: "roles", about: "names for sets of permissions", prints: true, example: "factory-secrets roles" },
    async ({ context, client }, { output }) =>
      printItems(context, output, listAt((await ask(client, { method: "GET", path: "/v1/roles" })).body, "items"), [
        ["ROLE", "name"],
        ["PERMISSIONS", "permissions"],
      ]),
  );
  const tokens = group(apiTokens.name, apiTokens.about, kindCommands(deps, apiTokens), apiTokens.example);
  const clients = [...kindCommands(deps, oauthClients), ...clientSecretCommands(deps)];
  return [tokens, group(oauthClients.name, oauthClients.about, clients, oauthClients.example), roles];
}

const columns: readonly Column[] = [
  ["ID", "id"],
  ["NAME", "name"],
  ["ROLES", "roles"],
  ["PERMISSIONS", "permissions"],
  ["CREATED", "createdAt"],
  ["BY", "createdBy"],
  ["EXPIRES", "expiresAt"],
];

const kindCommands = (deps: CommandDeps, kind: Kind): Command[] => [
  listCommand(deps, kind),
  createCommand(deps, kind),
  rmCommand(deps, kind),
];

const listCommand = (deps: CommandDeps, { name, one }: Kind): Command =>
  serviceCommand(
    deps,
    { name: "list", about: `every ${one} of the factory`, prints: true, example: `factory-secrets ${name} list` },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, pathOf("v1", "factories", factoryOf(client), name)), columns),
  );

type CreateFlags = OutputFlags & { role?: readonly string[]; permission?: readonly string[]; expiresAt?: string };

const createCommand = (deps: CommandDeps, { name, one, shownOnce, example }: Kind): Command =>
  serviceCommand<CreateFlags>(
    deps,
    {
      name: "create",
      about: `make an ${one} and print its credential, alone on a line`,
      operands: [["<name>", "what people call it"]],
      options: [
        ["--role <role>", "a set of permissions, see `roles`; may be repeated"],
        ["--permission <permission>", "such as secrets:list; may be repeated"],
        ["--expires-at <time>", "when it ends: RFC 3339, a date, or a length such as 90d"],
      ],
      prints: true,
      example,
    },
    async ({ context, client }, { role, permission, expiresAt, output }, [label = ""]) => {
      const { body } = await ask(client, {
        method: "POST",
        path: pathOf("v1", "factories", factoryOf(client), name),
        json: {
          name: label,
          roles: role,
          permissions: permission,
          expiresAt: expiresAt && readTime(expiresAt, "future"),
        },
      });
      await printNewCredential(context, output, body, shownOnce, `${one} ${textAt(body, "id") ?? ""}, "${label}".`);
    },
  );

const rmCommand = (deps: CommandDeps, { name, one }: Kind): Command =>
  serviceCommand<{ yes?: boolean }>(
    deps,
    {
      name: "rm",
      about: `withdraw an ${one}: it stops working at once`,
      operands: [["<id>", "its id"]],
      options: [["-y, --yes", "do not ask"]],
      example: `factory-secrets ${name} rm 018f3c1e-0000-7000-8000-000000000000`,
    },
    async ({ context, client }, { yes }, [id = ""]) => {
      const path = pathOf("v1", "factories", factoryOf(client), name, id);
      await confirm(context.person, yes, `The ${one} ${id} would stop working.`);
      await ask(client, { method: "DELETE", path });
      context.terminal.say(`Withdrew ${id}.`);
    },
  );
