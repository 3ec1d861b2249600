import type { Command } from "commander";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, serviceCommand } from "./define-command.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";
import { printItems, printOne } from "./print-reply.js";

const deniedPath = (client: OperatorClient, ...id: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "denied-devices", ...id);

type DenyFlags = { authority?: string; serial?: string; reason?: string };

/** `devices denied|deny|allow`. */
export function deniedDeviceCommands(deps: CommandDeps): Command[] {
  const list = serviceCommand(
    deps,
    { name: "denied", about: "those that are denied", prints: true, example: "factory-secrets devices denied" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, deniedPath(client)), [
        ["ID", "id"],
        ["DEVICE", "deviceId"],
        ["AUTHORITY", "authorityId"],
        ["SERIAL", "serial"],
        ["SINCE", "createdAt"],
        ["BY", "createdBy"],
        ["REASON", "reason"],
      ]),
  );
  const deny = serviceCommand<DenyFlags>(
    deps,
    {
      name: "deny",
      about: "let a device in no more, whatever its certificate, or one certificate",
      operands: [["[device]", "its id, the CN of its certificates"]],
      options: [
        ["--authority <id>", "of the certificate with this --serial"],
        ["--serial <number>", "one certificate, in hexadecimal"],
        ["--reason <text>", "for those who read it later"],
      ],
      prints: true,
      example: "factory-secrets devices deny 7f3b2c1d-0000-4000-8000-000000000000 --reason stolen",
    },
    async ({ context, client }, { authority, serial, reason, output }, [deviceId]) => {
      const json = { deviceId, authorityId: authority, serial, reason };
      await printOne(context, output, (await ask(client, { method: "POST", path: deniedPath(client), json })).body);
    },
  );
  const allow = serviceCommand(
    deps,
    {
      name: "allow",
      about: "take a denial back",
      operands: [["<id>", "id of the denial, as `denied` has it"]],
      example: "factory-secrets devices allow 018f3c1e-0000-7000-8000-000000000000",
    },
    async ({ context, client }, _flags, [id = ""]) => {
      await ask(client, { method: "DELETE", path: deniedPath(client, id) });
      context.terminal.say(`Took ${id} back.`);
    },
  );
  return [list, deny, allow];
}
