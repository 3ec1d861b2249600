import type { Command } from "commander";
import { isVisible } from "../../core/visible-text.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { listAt } from "../client/json-value.js";
import { ask, listAll, send } from "./ask-service.js";
import { configPath, findingLines, isAboutDocument, writtenSentence } from "./config-document.js";
import { type CommandDeps, group, type Run, serviceCommand } from "./define-command.js";
import { editConfig } from "./edit-config.js";
import { explainProblem } from "./explain-problem.js";
import { type OutputFlags, printItems, printReply, tableOf } from "./print-reply.js";
import { readGivenFile } from "./read-value.js";
import { entryColumns } from "./registry-columns.js";
import { sayWarnings } from "./say-warnings.js";

/** `config ...`. */
export function configCommands(deps: CommandDeps): Command {
  const commands = [getCommand(deps), editCommand(deps), checkCommand(deps), putCommand(deps)];
  return group(
    "config",
    "the factory config: read, check, edit, publish, go back",
    [...commands, historyCommand(deps), restoreCommand(deps)],
    "factory-secrets config check factory-config.yml && factory-secrets config put factory-config.yml",
  );
}

const getCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ version?: string }>(
    deps,
    {
      name: "get",
      about: "the document, byte for byte as it was put",
      options: [["--version <number>", "that version, not the current one"]],
      choices: [
        ["-o, --output <form>", "json and table show the entries that were found in it", ["yaml", "json", "table"]],
      ],
      example: "factory-secrets config get > factory-config.yml",
    },
    async ({ context, client }, { version, output = "yaml" }) => {
      const path = version === undefined ? configPath(client) : configPath(client, "versions", version);
      if (output === "yaml") {
        const { text } = await ask(client, { method: "GET", path: `${path}/document`, accept: "application/yaml" });
        if (!isVisible(text)) context.terminal.say(notByteForByte);
        context.terminal.out(text.replace(/\n$/, ""));
        return;
      }
      const { body } = await ask(client, { method: "GET", path, accept: "application/json" });
      await printReply(context, output, body, () => tableOf(context, listAt(body, "entries"), entryColumns));
    },
  );

const notByteForByte =
  "Some characters of the document act on terminals. They are printed as \\uXXXX; `config edit` opens its exact bytes.";

type PublishFlags = OutputFlags & { reason?: string; allowMissingSecrets?: boolean; ifVersion?: string };

const publishOptions = [
  ["--reason <text>", "why; kept in the history and the audit"],
  ["--allow-missing-secrets", "take entries whose secret does not exist yet"],
] as const;
const ifVersion = ["--if-version <number>", "only if this is the current version"] as const;

const queryOf = ({ reason, allowMissingSecrets }: PublishFlags) => ({
  reason,
  allowMissingSecrets: allowMissingSecrets === true ? true : undefined,
});

const editCommand = (deps: CommandDeps): Command =>
  serviceCommand<PublishFlags>(
    deps,
    {
      name: "edit",
      about: "open it in your editor, check it, publish it",
      options: publishOptions,
      more: "The editor is VISUAL, EDITOR or vi. What cannot be published can be edited again, and is never lost.",
      example: 'EDITOR="code --wait" factory-secrets config edit --reason "one more registry"',
    },
    (run, flags) => editConfig(run, queryOf(flags)),
  );

const checkCommand = (deps: CommandDeps): Command =>
  serviceCommand<PublishFlags>(
    deps,
    {
      name: "check",
      about: "check a document without publishing it; exit code 0: it is valid, 1: it is not",
      operands: [["<file>", "the document; - is standard input"]],
      options: [["--allow-missing-secrets", "take entries whose secret does not exist yet"]],
      prints: true,
      example: "factory-secrets config check factory-config.yml",
    },
    checkConfig,
  );

/** Findings go to standard output, as compilers write them: they are what was asked for. */
async function checkConfig({ context, client, finish }: Run, flags: PublishFlags, [file = ""]: readonly string[]) {
  const bytes = await readGivenFile(context, file);
  const answer = await send(client, {
    method: "PUT",
    path: configPath(client),
    query: { ...queryOf(flags), dryRun: true },
    document: { mediaType: "application/yaml", bytes },
  });
  const isValid = answer.status === 200;
  if (!isValid && !isAboutDocument(answer)) throw await explainProblem(client, answer);
  const invalid = listAt(answer.body, "invalid");
  const warnings = listAt(answer.body, "warnings");
  await printReply(context, flags.output, { valid: isValid, invalid, warnings }, () => {
    const lines = findingLines(file, answer, bytes.toString("utf8"));
    return isValid ? [...lines, `${file} is valid.`].join("\n") : lines.join("\n");
  });
  if (!isValid) finish(exitCodes.failed);
}

const putCommand = (deps: CommandDeps): Command =>
  serviceCommand<PublishFlags>(
    deps,
    {
      name: "put",
      about: "publish a document, as a new version",
      operands: [["<file>", "the document; - is standard input"]],
      options: [...publishOptions, ifVersion],
      prints: true,
      example: 'factory-secrets config put factory-config.yml --reason "moved to us-east-2"',
    },
    async (run, flags, [file = ""]) => {
      const { context, client } = run;
      const bytes = await readGivenFile(context, file);
      const answer = await send(client, {
        method: "PUT",
        path: configPath(client),
        query: queryOf(flags),
        document: { mediaType: "application/yaml", bytes },
        ifMatch: flags.ifVersion === undefined ? undefined : `"${flags.ifVersion}"`,
      });
      if (isAboutDocument(answer))
        throw new CommandFailure(
          exitCodes.refused,
          [...findingLines(file, answer, bytes.toString("utf8")), "Nothing was published."].join("\n"),
        );
      if (answer.status !== 200 && answer.status !== 201) throw await explainProblem(client, answer);
      await printWritten(run, flags, answer.body);
    },
  );

async function printWritten({ context }: Run, { output }: OutputFlags, body: unknown): Promise<void> {
  sayWarnings(context, body);
  await printReply(context, output, body, () => writtenSentence(body));
}

const historyCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    { name: "history", about: "its versions, newest first", prints: true, example: "factory-secrets config history" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, configPath(client, "versions")), [
        ["VERSION", "version"],
        ["CURRENT", "current"],
        ["CREATED", "createdAt"],
        ["BY", "createdBy"],
        ["RESTORED FROM", "restoredFrom"],
        ["REASON", "reason"],
      ]),
  );

const restoreCommand = (deps: CommandDeps): Command =>
  serviceCommand<PublishFlags>(
    deps,
    {
      name: "restore",
      about: "publish an older version again, as a new one",
      operands: [["<version>", "its number"]],
      options: [...publishOptions, ifVersion],
      prints: true,
      example: 'factory-secrets config restore 3 --reason "the move did not work"',
    },
    async (run, flags, [version = ""]) => {
      const path = `${configPath(run.client, "versions", version)}:restore`;
      const ifMatch = flags.ifVersion === undefined ? undefined : `"${flags.ifVersion}"`;
      const { body } = await ask(run.client, { method: "POST", path, query: queryOf(flags), ifMatch });
      await printWritten(run, flags, body);
    },
  );
