import type { Command } from "commander";
import { isObject, listAt } from "../client/json-value.js";
import { readTime } from "../client/read-time.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, type Run, serviceCommand } from "./define-command.js";
import { factoryOf } from "./operator-client.js";
import { confirm } from "./person.js";
import { cellAt, type OutputFlags, printItems, printOne, printReply, tableOf } from "./print-reply.js";
import { secretPath } from "./secret-path.js";

const nameOperand = ["<name>", "its name"] as const;
const versionOperand = ["<version>", "number of the version"] as const;
const ifVersion = ["--if-version <number>", "only if this is the current version"] as const;

/** The commands about the versions of a secret, and who uses them. */
export function versionCommands(deps: CommandDeps): Command[] {
  return [
    historyCommand(deps),
    promoteCommand(deps),
    rollbackCommand(deps),
    restoreCommand(deps),
    destroyCommand(deps),
    undeleteCommand(deps),
    purgeCommand(deps),
    usageCommand(deps),
    reportCommand(deps),
  ];
}

const historyCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "history",
      about: "the versions of a secret",
      operands: [nameOperand],
      prints: true,
      example: "factory-secrets secrets history aws_creds",
    },
    async ({ context, client }, { output }, [name = ""]) =>
      printItems(context, output, await listAll(client, `${secretPath(client, name)}/versions`), [
        ["VERSION", "version"],
        ["STATE", "state"],
        ["CREATED", "createdAt"],
        ["BY", "createdBy"],
        ["EXPIRES", "expiresAt"],
        ["TO JOBS", "deliverToJobs"],
        ["RESTORED FROM", "restoredFrom"],
        ["FINGERPRINT", "fingerprint"],
      ]),
  );

type ChangeFlags = OutputFlags & { ifVersion?: string; doctor?: boolean; allowUnusable?: boolean };

const allowUnusable = ["--allow-unusable", "although the registry entries that name it cannot use its value"] as const;
const unusableQuery = (flags: { allowUnusable?: boolean }) => ({
  allowUnusable: flags.allowUnusable === true ? true : undefined,
});

/** A change of what is current, which the service answers with the version that is now. */
async function change({ context, client }: Run, flags: ChangeFlags, path: string, name: string): Promise<void> {
  const ifMatch = flags.ifVersion === undefined ? undefined : `"${flags.ifVersion}"`;
  const query = { doctor: flags.doctor === true ? true : undefined, ...unusableQuery(flags) };
  const { body } = await ask(client, { method: "POST", path, query, ifMatch });
  const before = cellAt(body, "previousVersion");
  await printReply(context, flags.output, body, () => {
    const start = `The current version of ${name} is ${cellAt(body, "version")}.`;
    return before === "" ? start : `${start} Before it: ${before}. To undo: factory-secrets secrets rollback ${name}`;
  });
}

const promoteCommand = (deps: CommandDeps): Command =>
  serviceCommand<ChangeFlags>(
    deps,
    {
      name: "promote",
      about: "mint from this version from now on",
      operands: [nameOperand, versionOperand],
      options: [ifVersion, ["--doctor", "only if every registry lets it in; see `secrets doctor`"], allowUnusable],
      prints: true,
      example: "factory-secrets secrets promote aws_creds 4 --if-version 3 --doctor",
    },
    (run, flags, [name = "", version = ""]) =>
      change(run, flags, `${secretPath(run.client, name)}/versions/${encodeURIComponent(version)}:promote`, name),
  );

const rollbackCommand = (deps: CommandDeps): Command =>
  serviceCommand<ChangeFlags>(
    deps,
    {
      name: "rollback",
      about: "go back to the version that was current before",
      operands: [nameOperand],
      options: [ifVersion, allowUnusable],
      prints: true,
      example: "factory-secrets secrets rollback aws_creds",
    },
    (run, flags, [name = ""]) => change(run, flags, `${secretPath(run.client, name)}:rollback`, name),
  );

const restoreCommand = (deps: CommandDeps): Command =>
  serviceCommand<ChangeFlags>(
    deps,
    {
      name: "restore",
      about: "store an older version again, as a new one",
      operands: [nameOperand, versionOperand],
      options: [ifVersion, allowUnusable],
      prints: true,
      example: "factory-secrets secrets restore aws_creds 2",
    },
    (run, flags, [name = "", version = ""]) =>
      change(run, flags, `${secretPath(run.client, name)}/versions/${encodeURIComponent(version)}:restore`, name),
  );

const destroyCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ force?: boolean; yes?: boolean }>(
    deps,
    {
      name: "destroy",
      about: "destroy the value of a version, for good",
      operands: [nameOperand, versionOperand],
      options: [
        ["--force", "although a rollback would go back to it"],
        ["-y, --yes", "do not ask"],
      ],
      example: "factory-secrets secrets destroy aws_creds 3",
    },
    async ({ context, client }, { force, yes }, [name = "", version = ""]) => {
      const path = `${secretPath(client, name)}/versions/${encodeURIComponent(version)}`;
      await confirm(context.person, yes, `The value of version ${version} of ${name} would be destroyed for good.`);
      const ways = {
        "purge=true": `On this command line: factory-secrets secrets promote ${name} with the number of another version, or factory-secrets secrets rm ${name} --purge`,
      };
      await ask(client, { method: "DELETE", path, query: { force: force === true ? true : undefined }, ways });
      context.terminal.say(`Destroyed version ${version} of ${name}.`);
    },
  );

const undeleteCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ allowUnusable?: boolean }>(
    deps,
    {
      name: "undelete",
      about: "bring back a secret that was deleted, with its versions",
      operands: [nameOperand],
      options: [allowUnusable],
      prints: true,
      example: "factory-secrets secrets list --deleted\nfactory-secrets secrets undelete aws_creds",
    },
    async ({ context, client }, { output, ...flags }, [name = ""]) => {
      const query = unusableQuery(flags);
      const { body } = await ask(client, { method: "POST", path: `${secretPath(client, name)}:undelete`, query });
      await printOne(context, output, body);
    },
  );

const purgeCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ yes?: boolean }>(
    deps,
    {
      name: "purge",
      about: "destroy what was deleted under this name, for good; a secret in use stays",
      operands: [nameOperand],
      options: [["-y, --yes", "do not ask"]],
      example: "factory-secrets secrets purge aws_creds",
    },
    async ({ context, client }, { yes }, [name = ""]) => {
      const path = pathOf("v1", "factories", factoryOf(client), "deleted-secrets", name);
      await confirm(context.person, yes, `The deleted values of ${name} would be destroyed for good.`);
      await ask(client, { method: "DELETE", path });
      context.terminal.say(`Destroyed what was deleted as ${name}.`);
    },
  );

const usageCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "usage",
      about: "who was given tokens by which version, and until when one of an older version lives",
      operands: [nameOperand],
      prints: true,
      example: "factory-secrets secrets usage aws_creds",
    },
    async ({ context, client }, { output }, [name = ""]) => {
      const { body } = await ask(client, { method: "GET", path: `${secretPath(client, name)}/usage` });
      await printReply(context, output, body, () => {
        const older = cellAt(body, "olderTokensUntil");
        const facts = [
          `version:            ${cellAt(body, "version")}`,
          `entries:            ${cellAt(body, "entries") || "none"}`,
          `last used:          ${cellAt(body, "lastUsedAt") || "not in the last 90 days"}`,
          `older tokens until: ${older || "none lives"}`,
        ].join("\n");
        const uses = isObject(body) ? listAt(body, "uses") : [];
        if (uses.length === 0) return facts;
        return `${facts}\n\n${tableOf(context, uses, [
          ["VERSION", "version"],
          ["KIND", "kind"],
          ["NAME", "name"],
          ["LAST USED", "lastUsedAt"],
          ["TOKENS UNTIL", "tokensUntil"],
        ])}`;
      });
    },
  );

type ReportFlags = { rotatedBefore?: string; expiresBefore?: string; unusedSince?: string };

const reportCommand = (deps: CommandDeps): Command =>
  serviceCommand<ReportFlags>(
    deps,
    {
      name: "report",
      about: "every secret with its age: the proof of rotation",
      options: [
        ["--rotated-before <time>", "only those that were last rotated before it"],
        ["--expires-before <time>", "only those whose credential ends before it"],
        ["--unused-since <time>", "only those that nobody has used since"],
      ],
      prints: true,
      example: "factory-secrets secrets report --rotated-before 2026-06-01T00:00:00Z",
    },
    async ({ context, client }, { output, rotatedBefore, expiresBefore, unusedSince }) => {
      const { body } = await ask(client, {
        method: "GET",
        path: pathOf("v1", "factories", factoryOf(client), "reports", "rotation"),
        query: {
          rotatedBefore: rotatedBefore && readTime(rotatedBefore, "past"),
          expiresBefore: expiresBefore && readTime(expiresBefore, "future"),
          unusedSince: unusedSince && readTime(unusedSince, "past"),
        },
      });
      await printReply(context, output, body, () =>
        tableOf(context, listAt(body, "secrets"), [
          ["NAME", "name"],
          ["VERSION", "version"],
          ["AGE DAYS", "ageDays"],
          ["ROTATED", "rotatedAt"],
          ["EXPIRES", "expiresAt"],
          ["LAST USED", "lastUsedAt"],
          ["OLDER TOKENS UNTIL", "olderTokensUntil"],
        ]),
      );
    },
  );
