import type { Command } from "commander";
import { textAt } from "../client/json-value.js";
import { ask, pathOf } from "./ask-service.js";
import { type CommandDeps, serviceCommand } from "./define-command.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";
import { confirm } from "./person.js";
import { printNewCredential } from "./print-new-credential.js";
import { printOne } from "./print-reply.js";

const clientPath = (client: OperatorClient, id: string, ...below: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "oauth-clients", id, ...below);

const idOperand = ["<id>", "id of the client"] as const;

/** The commands about the secrets of an OAuth client: two during a rotation. */
export function clientSecretCommands(deps: CommandDeps): Command[] {
  const show = serviceCommand(
    deps,
    {
      name: "show",
      about: "one client, with the ids of its secrets",
      operands: [idOperand],
      prints: true,
      example: "factory-secrets oauth-clients show 018f3c1e-0000-7000-8000-000000000000",
    },
    async ({ context, client }, { output }, [id = ""]) =>
      printOne(context, output, (await ask(client, { method: "GET", path: clientPath(client, id) })).body),
  );
  const add = serviceCommand(
    deps,
    {
      name: "add-secret",
      about: "give a client a second secret, and print it alone on a line",
      operands: [idOperand],
      prints: true,
      example: "factory-secrets oauth-clients add-secret 018f3c1e-0000-7000-8000-000000000000",
    },
    async ({ context, client }, { output }, [id = ""]) => {
      const { body } = await ask(client, { method: "POST", path: clientPath(client, id, "secrets") });
      await printNewCredential(context, output, body, "clientSecret", `Secret ${textAt(body, "id") ?? ""}.`);
    },
  );
  const remove = serviceCommand<{ yes?: boolean }>(
    deps,
    {
      name: "rm-secret",
      about: "take a secret from a client: it stops working at once",
      operands: [idOperand, ["<secret-id>", "id of the secret, as `show` has it"]],
      options: [["-y, --yes", "do not ask"]],
      example:
        "factory-secrets oauth-clients rm-secret 018f3c1e-0000-7000-8000-000000000000 018f3c1e-0000-7000-8000-000000000001",
    },
    async ({ context, client }, { yes }, [id = "", secretId = ""]) => {
      const path = clientPath(client, id, "secrets", secretId);
      await confirm(context.person, yes, `The secret ${secretId} would stop working.`);
      await ask(client, { method: "DELETE", path });
      context.terminal.say(`Removed ${secretId}.`);
    },
  );
  return [show, add, remove];
}
