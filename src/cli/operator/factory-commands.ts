import type { Command } from "commander";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, group, serviceCommand } from "./define-command.js";
import { factoryOf } from "./operator-client.js";
import { confirm } from "./person.js";
import { cellAt, printItems, printOne, printReply } from "./print-reply.js";

/** `factories ...`. */
export function factoryCommands(deps: CommandDeps): Command {
  return group(
    "factories",
    "the tenants of the installation",
    [listCommand(deps), createCommand(deps), rmCommand(deps), settingsCommand(deps)],
    "factory-secrets factories create acme",
  );
}

const listCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    { name: "list", about: "all of them", prints: true, example: "factory-secrets factories list" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, "/v1/factories"), [
        ["NAME", "name"],
        ["ID", "id"],
        ["CREATED", "createdAt"],
      ]),
  );

const createCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "create",
      about: "make one; its name is never given out again",
      operands: [["<name>", "lower-case letters, digits and dashes"]],
      prints: true,
      example: "factory-secrets factories create acme",
    },
    async ({ context, client }, { output }, [name = ""]) => {
      const { body } = await ask(client, { method: "POST", path: "/v1/factories", json: { name } });
      await printReply(context, output, body, () => `Created ${cellAt(body, "name")}, ${cellAt(body, "id")}.`);
    },
  );

const rmCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ yes?: boolean }>(
    deps,
    {
      name: "rm",
      about: "delete a factory with all that is in it, for good",
      operands: [["<name>", "its name"]],
      options: [["-y, --yes", "do not ask"]],
      example: "factory-secrets factories rm acme",
    },
    async ({ context, client }, { yes }, [name = ""]) => {
      await confirm(context.person, yes, `${name} and every secret in it would be destroyed, for good.`);
      await ask(client, { method: "DELETE", path: pathOf("v1", "factories", name) });
      context.terminal.say(`Deleted ${name}.`);
    },
  );

type SettingsFlags = { keepVersions?: string; rotationGraceSeconds?: string };

const settingsCommand = (deps: CommandDeps): Command =>
  serviceCommand<SettingsFlags>(
    deps,
    {
      name: "settings",
      about: "show the factory's settings, or change those that are named",
      options: [
        ["--keep-versions <number>", "how many versions of each secret are kept"],
        ["--rotation-grace-seconds <number>", "how long the version before is guarded from being destroyed"],
      ],
      prints: true,
      example: "factory-secrets factories settings --keep-versions 20",
    },
    async ({ context, client }, { keepVersions, rotationGraceSeconds, output }) => {
      const path = pathOf("v1", "factories", factoryOf(client), "settings");
      const change = {
        ...numberOf("keepVersions", keepVersions),
        ...numberOf("rotationGraceSeconds", rotationGraceSeconds),
      };
      const { body } =
        Object.keys(change).length === 0
          ? await ask(client, { method: "GET", path })
          : await ask(client, { method: "PATCH", path, json: change });
      await printOne(context, output, body);
    },
  );

function numberOf(name: string, text: string | undefined): Record<string, number> {
  if (text === undefined) return {};
  if (/^\d{1,9}$/.test(text)) return { [name]: Number(text) };
  throw new CommandFailure(exitCodes.usage, `${text} is no whole number.`);
}
