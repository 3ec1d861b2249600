import type { Command } from "commander";
import { textAt } from "../client/json-value.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, group, serviceCommand } from "./define-command.js";
import { deniedDeviceCommands } from "./denied-device-commands.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";
import { confirm } from "./person.js";
import { printItems, printOne } from "./print-reply.js";
import { readDocument } from "./read-document.js";
import { readGivenFile } from "./read-value.js";

/** `devices ...`. */
export function deviceCommands(deps: CommandDeps): Command {
  const authorities = group(
    "authorities",
    "the authorities whose devices are let in",
    [
      listCommand(deps),
      showCommand(deps),
      addCommand(deps),
      policyCommand(deps),
      listRevokedCommand(deps),
      rmCommand(deps),
    ],
    "factory-secrets devices authorities add 'line 1' --certificates ca.pem",
  );
  return group(
    "devices",
    "devices with X.509 certificates: their authorities, and those that are denied",
    [authorities, ...deniedDeviceCommands(deps)],
    "factory-secrets devices authorities list",
  );
}

const authorityPath = (client: OperatorClient, ...id: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "device-authorities", ...id);

const idOperand = ["<id>", "its id"] as const;
const exampleId = "018f3c1e-0000-7000-8000-000000000000";

const listCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    { name: "list", about: "all of them", prints: true, example: "factory-secrets devices authorities list" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, authorityPath(client)), [
        ["ID", "id"],
        ["NAME", "name"],
        ["SUBJECT", "subject"],
        ["EXPIRES", "expiresAt"],
        ["FINGERPRINT", "fingerprint"],
      ]),
  );

const showCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "show",
      about: "one, with its certificates, policy and revocation lists",
      operands: [idOperand],
      prints: true,
      example: `factory-secrets devices authorities show ${exampleId} --output yaml`,
    },
    async ({ context, client }, { output }, [id = ""]) =>
      printOne(context, output, (await ask(client, { method: "GET", path: authorityPath(client, id) })).body),
  );

const addCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ certificates: string; policy?: string }>(
    deps,
    {
      name: "add",
      about: "let the devices of an authority in",
      operands: [["<name>", "what people call it"]],
      required: [["--certificates <file>", "PEM: its root and intermediates; - is standard input"]],
      options: [["--policy <file>", "what its devices may pull, YAML or JSON; without it, from everywhere"]],
      prints: true,
      example: "factory-secrets devices authorities add 'line 1' --certificates ca.pem --policy policy.yml",
    },
    async ({ context, client }, { certificates, policy, output }, [name = ""]) => {
      const json = {
        name,
        certificates: (await readGivenFile(context, certificates)).toString("utf8"),
        ...(policy !== undefined && { policy: await readDocument(context, policy) }),
      };
      await printOne(context, output, (await ask(client, { method: "POST", path: authorityPath(client), json })).body);
    },
  );

const policyCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ name?: string }>(
    deps,
    {
      name: "set-policy",
      about: "change what the devices of an authority may pull",
      operands: [idOperand, ["<file>", "the whole policy, YAML or JSON; - is standard input"]],
      options: [["--name <name>", "call it so from now on"]],
      prints: true,
      example: `factory-secrets devices authorities set-policy ${exampleId} policy.yml`,
    },
    async ({ context, client }, { name, output }, [id = "", file = ""]) => {
      const path = authorityPath(client, id);
      const label = name ?? textAt((await ask(client, { method: "GET", path })).body, "name");
      const json = { name: label, policy: await readDocument(context, file) };
      await printOne(context, output, (await ask(client, { method: "PUT", path, json })).body);
    },
  );

const listRevokedCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "set-crl",
      about: "put a revocation list in place of the one before",
      operands: [idOperand, ["<file>", "an X.509 CRL, PEM or DER; - is standard input"]],
      prints: true,
      example: `factory-secrets devices authorities set-crl ${exampleId} crl.pem`,
    },
    async ({ context, client }, { output }, [id = "", file = ""]) => {
      const bytes = await readGivenFile(context, file);
      const text = bytes.toString("latin1");
      const revocationList = text.includes("-----BEGIN") ? text : bytes.toString("base64");
      const path = authorityPath(client, id, "revocation-list");
      await printOne(context, output, (await ask(client, { method: "PUT", path, json: { revocationList } })).body);
    },
  );

const rmCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ yes?: boolean }>(
    deps,
    {
      name: "rm",
      about: "let its devices in no more",
      operands: [idOperand],
      options: [["-y, --yes", "do not ask"]],
      example: `factory-secrets devices authorities rm ${exampleId}`,
    },
    async ({ context, client }, { yes }, [id = ""]) => {
      const path = authorityPath(client, id);
      await confirm(context.person, yes, `No device of the authority ${id} would be let in any more.`);
      await ask(client, { method: "DELETE", path });
      context.terminal.say(`Removed ${id}.`);
    },
  );
