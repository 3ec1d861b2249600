import { type Command, Option } from "commander";
import { logCommands } from "../audit/log-commands.js";
import { verifyCommand } from "../audit/verify-command.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { explainStranger } from "../client/explain-stranger.js";
import { listAt, textAt } from "../client/json-value.js";
import { writeAll, writeOut } from "../client/output.js";
import { writeNewFile } from "../client/write-new-file.js";
import { ask, pathOf } from "./ask-service.js";
import { tailCommand } from "./audit-tail.js";
import { type CommandDeps, group, type Run, serviceCommand } from "./define-command.js";

/** `audit tail|verify|export|checkpoint|prove|keys`, for machines other than the server's. */
export const auditCommands = (deps: CommandDeps): Command =>
  group(
    "audit",
    "what was done and refused: read, export and check it",
    [
      tailCommand(deps),
      verifyCommand(needsFile, "an export in NDJSON; nobody is asked"),
      exportCommand(deps),
      ...logCommands(deps),
      keysCommand(deps),
    ],
    "factory-secrets audit export --out audit.ndjson\nfactory-secrets audit verify --file audit.ndjson --public-key audit-keys.pem",
  );

async function needsFile(): Promise<never> {
  throw new CommandFailure(
    exitCodes.usage,
    "Name an export: factory-secrets audit export --out audit.ndjson && factory-secrets audit verify --file audit.ndjson\nThe database itself is checked on the server's machine, in its clone: npx factory-secrets audit verify",
  );
}

type ExportFlags = { format: "ndjson" | "cef"; out?: string; installation?: boolean };

const forms = {
  ndjson: { name: "export", mediaType: "application/x-ndjson", isEvent: /^\{"type":"event"/ },
  cef: { name: "export.cef", mediaType: "text/plain", isEvent: /./ },
} as const;

const exportCommand = (deps: CommandDeps): Command =>
  serviceCommand<ExportFlags>(
    deps,
    {
      name: "export",
      about: "write the events, oldest first, up to a checkpoint that is signed for it",
      options: [
        ["--out <file>", "a new file; without it, standard output"],
        ["--installation", "of the whole installation, as without any factory; needs an operator token"],
      ],
      example: "factory-secrets audit export --factory acme --out acme.ndjson",
    },
    exportEvents,
  ).addOption(new Option("--format <format>", "ndjson can be verified").choices(Object.keys(forms)).default("ndjson"));

async function exportEvents({ context, client }: Run, { format, out, installation }: ExportFlags): Promise<void> {
  const factory = installation === true ? undefined : client.factory;
  const { name, mediaType, isEvent } = forms[format];
  const path = factory === undefined ? `/v1/audit/${name}` : pathOf("v1", "factories", factory, "audit", name);
  let events: number | undefined;
  const take = async (pieces: AsyncIterable<string>): Promise<void> => {
    events = 0;
    const counted = countLines(unbroken(pieces), isEvent, () => {
      events = (events ?? 0) + 1;
    });
    await (out === undefined ? writeAll(counted) : writeNewFile(out, counted));
  };
  const answer = await ask(client, { method: "GET", path, accept: mediaType, take });
  if (events === undefined) throw explainStranger(client.connection.url, answer);
  if (out === undefined) return;
  const whose = factory === undefined ? "the installation" : `the factory ${factory}`;
  context.terminal.say(`Wrote ${out}: ${events.toLocaleString("en")} events of ${whose}.`);
}

/** @throws CommandFailure when the export ends before its end: half of one would look like an altered one */
async function* unbroken(pieces: AsyncIterable<string>): AsyncIterable<string> {
  try {
    yield* pieces;
  } catch {
    throw new CommandFailure(exitCodes.unavailable, "The connection broke before the end of the export. Run it again.");
  }
}

async function* countLines(pieces: AsyncIterable<string>, isCounted: RegExp, count: () => void): AsyncIterable<string> {
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (isCounted.test(line)) count();
    yield piece;
  }
}

const keysCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "keys",
      about: "print the public keys that sign the audit, PEM; keep them where the database is not",
      example: "factory-secrets audit keys > audit-keys.pem",
    },
    async ({ context, client }) => {
      const { body } = await ask(client, { method: "GET", path: "/v1/audit/checkpoint-keys" });
      const keys = listAt(body, "items").map((item) => textAt(item, "publicKey") ?? "");
      if (keys.length === 0)
        context.terminal.say("There is none yet: the first is made with the first checkpoint, within a minute.");
      for (const key of keys) writeOut(key);
    },
  );
