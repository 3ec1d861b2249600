import type { Command } from "commander";
import { exitCodes } from "../client/command-failure.js";
import { isObject } from "../client/json-value.js";
import { readTime } from "../client/read-time.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, group, type Run, serviceCommand } from "./define-command.js";
import { factoryOf } from "./operator-client.js";
import { confirm } from "./person.js";
import { type OutputFlags, printItems, printOne, printReply } from "./print-reply.js";
import { readValue, valueMembers } from "./read-value.js";
import { sayWarnings } from "./say-warnings.js";
import { doctorCommand } from "./secret-doctor.js";
import { secretPath } from "./secret-path.js";
import { versionCommands } from "./secret-version-commands.js";

/** `secrets ...`. */
export function secretCommands(deps: CommandDeps): Command {
  const commands = [listCommand(deps), showCommand(deps), setCommand(deps), rmCommand(deps), verifyCommand(deps)];
  return group(
    "secrets",
    "store secrets, and see what is known of them; a value is never shown",
    [...commands, doctorCommand(deps), ...versionCommands(deps)],
    "factory-secrets secrets set aws_creds --from-file ~/.aws/credentials\nfactory-secrets secrets list",
  );
}

const secretColumns = [
  ["NAME", "name"],
  ["VERSION", "version"],
  ["UPDATED", "updatedAt"],
  ["EXPIRES", "expiresAt"],
  ["IN USE", "usedByRegistries"],
  ["TO JOBS", "deliverToJobs"],
  ["DESCRIPTION", "description"],
] as const;

const listCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ prefix?: string; deleted?: boolean }>(
    deps,
    {
      name: "list",
      about: "names and what is known of each",
      options: [
        ["--prefix <text>", "only names that begin so"],
        ["--deleted", "those that can be undeleted"],
      ],
      prints: true,
      example: "factory-secrets secrets list --prefix aws_",
    },
    async ({ context, client }, { prefix, deleted, output }) => {
      if (deleted !== true)
        return printItems(context, output, await listAll(client, secretPath(client), { prefix }), secretColumns);
      const items = await listAll(client, pathOf("v1", "factories", factoryOf(client), "deleted-secrets"));
      await printItems(context, output, items, [
        ["NAME", "name"],
        ["VERSION", "version"],
        ["DELETED", "deletedAt"],
        ["UNDELETE UNTIL", "undeletableUntil"],
      ]);
    },
  );

const showCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "show",
      about: "what is known of one",
      operands: [["<name>", "its name"]],
      prints: true,
      example: "factory-secrets secrets show aws_creds --output json",
    },
    async ({ context, client }, { output }, [name = ""]) =>
      printOne(context, output, (await ask(client, { method: "GET", path: secretPath(client, name) })).body),
  );

type SetFlags = OutputFlags & {
  fromFile?: string;
  description?: string;
  expiresAt?: string;
  deliverToJobs?: boolean;
  stage?: boolean;
  ifVersion?: string;
  create?: boolean;
  allowUnusable?: boolean;
};

const setCommand = (deps: CommandDeps): Command =>
  serviceCommand<SetFlags>(
    deps,
    {
      name: "set",
      about: "store a value, as a new version",
      operands: [
        ["<name>", "its name"],
        ["[value]", "the value; better is --from-file, standard input, or the question without it"],
      ],
      options: [
        ["--from-file <file>", "the value, byte for byte; - is standard input"],
        ["--description <text>", "what it is for; not secret"],
        ["--expires-at <time>", "when the credential in it ends: RFC 3339, a date, or a length such as 90d"],
        ["--deliver-to-jobs", "this version may leave in a job's /secrets; takes secrets:deliver"],
        ["--no-deliver-to-jobs", "it may not; without either: as the current version"],
        ["--stage", "do not use it yet; see promote"],
        ["--if-version <number>", "only if this is the current version"],
        ["--create", "only if there is none of this name yet"],
        ["--allow-unusable", "although the registry entries that name it cannot use the value"],
      ],
      prints: true,
      example:
        "factory-secrets secrets set aws_creds --from-file ~/.aws/credentials\npass show registries/gitlab | tr -d '\\n' | factory-secrets secrets set gitlab_creds",
    },
    setSecret,
  );

async function setSecret({ context, client }: Run, flags: SetFlags, [name = "", argument]: readonly string[]) {
  const { description, expiresAt, deliverToJobs, stage, ifVersion, create, allowUnusable, output } = flags;
  const end = expiresAt && readTime(expiresAt, "future");
  const path = secretPath(client, name);
  const value = await readValue(context, { fromFile: flags.fromFile, argument }, `Value of ${name}`);
  const { status, body } = await ask(client, {
    method: "PUT",
    path,
    query: {
      stage: stage === true ? true : undefined,
      allowUnusable: allowUnusable === true ? true : undefined,
    },
    json: { ...valueMembers(value), description, expiresAt: end, deliverToJobs },
    ifMatch: ifVersion === undefined ? undefined : `"${ifVersion}"`,
    ifNoneMatch: create === true ? "*" : undefined,
  });
  sayWarnings(context, body);
  const number = isObject(body) ? String(body.version) : "";
  const done =
    stage === true
      ? `Staged version ${number} of ${name}. Use it: factory-secrets secrets promote ${name} ${number}`
      : undefined;
  await printReply(
    context,
    output,
    body,
    () => done ?? `${status === 201 ? "Created" : "Stored"} ${name}, version ${number}.`,
  );
}

const rmCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ force?: boolean; purge?: boolean; yes?: boolean }>(
    deps,
    {
      name: "rm",
      about: "delete a secret; it can be undeleted for some days",
      operands: [["<name>", "its name"]],
      options: [
        ["--force", "although a registry entry names it"],
        ["--purge", "destroy its values at once, for good"],
        ["-y, --yes", "do not ask"],
      ],
      example: "factory-secrets secrets rm old_creds",
    },
    async ({ context, client }, { force, purge, yes }, [name = ""]) => {
      const path = secretPath(client, name);
      const what = purge === true ? `Every value of ${name} would be destroyed for good.` : `${name} would be deleted.`;
      await confirm(context.person, yes, what);
      const query = { force: force === true ? true : undefined, purge: purge === true ? true : undefined };
      await ask(client, { method: "DELETE", path, query });
      context.terminal.say(
        purge === true ? `Destroyed ${name}.` : `Deleted ${name}. To undo: factory-secrets secrets undelete ${name}`,
      );
    },
  );

const verifyCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ fromFile?: string }>(
    deps,
    {
      name: "verify",
      about: "whether a value in your hands is the stored one; exit code 0: it is, 1: it is not",
      operands: [
        ["<name>", "its name"],
        ["[value]", "the value; better is --from-file, standard input, or the question without it"],
      ],
      options: [["--from-file <file>", "the value, byte for byte; - is standard input"]],
      prints: true,
      example: "factory-secrets secrets verify aws_creds --from-file ~/.aws/credentials",
    },
    async ({ context, client, finish }, { fromFile, output }, [name = "", argument]) => {
      const path = `${secretPath(client, name)}:verify`;
      const value = await readValue(context, { fromFile, argument }, `Value to compare with ${name}`);
      const { body } = await ask(client, { method: "POST", path, json: valueMembers(value) });
      const isSame = isObject(body) && body.matches === true;
      const number = isObject(body) ? String(body.version) : "";
      await printReply(context, output, body, () =>
        isSame ? `It is version ${number} of ${name}.` : `It is not version ${number} of ${name}, the current one.`,
      );
      if (!isSame) finish(exitCodes.failed);
    },
  );
