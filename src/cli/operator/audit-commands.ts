import { Command } from "commander";
import { explainForeignAnswer } from "../client/ask-with-retries.js";
import { writeNewFile } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { listAt, textAt } from "../client/json-value.js";
import { writeAll, writeOut } from "../client/output.js";
import { tailRow } from "./audit-tail.js";
import { call } from "./call.js";
import { type Argument, type CommandDeps, commandOf, groupOf, type Row, type Run } from "./command.js";
import type { VerifyArguments } from "./verify-export.js";

/** `audit tail|verify|export|checkpoint|prove|keys`, for machines other than the server's. */
export function auditCommands(deps: CommandDeps): Command {
  const audit = groupOf(
    "audit",
    "what was done and refused: read, export and check it",
    "factory-secrets audit export --out audit.ndjson\nfactory-secrets audit verify --file audit.ndjson --public-key audit-keys.pem",
  );
  audit
    .addCommand(commandOf(deps, tailRow))
    .addCommand(verifyCommand(needsFile, "an export in NDJSON; the service is not asked"));
  for (const row of [exportRow, ...logRows, keysRow]) audit.addCommand(commandOf(deps, row));
  return audit;
}

async function needsFile(): Promise<never> {
  throw new CommandFailure(
    exitCodes.usage,
    "No export is named. To make and check one: factory-secrets audit export --out audit.ndjson && factory-secrets audit verify --file audit.ndjson\nTo check the database itself, on the server's machine, in its clone: npx factory-secrets audit verify",
  );
}

type ExportFlags = { format?: "ndjson" | "cef"; out?: string; installation?: boolean };

const forms = {
  ndjson: { ofFactory: "exportFactoryAudit", ofAll: "exportAudit", isEvent: /^\{"type":"event"/ },
  cef: { ofFactory: "exportFactoryAuditAsCef", ofAll: "exportAuditAsCef", isEvent: /./ },
} as const;

const exportRow: Row = {
  words: "audit export",
  about: "write the events, oldest first, up to a checkpoint that is signed for it",
  options: [
    ["--out <file>", "a new file; without it, standard output"],
    ["--installation", "of the whole installation; the default without a factory; needs an operator token"],
    ["--format <format>", "ndjson, which can be verified, or cef; ndjson by default", { choices: Object.keys(forms) }],
  ],
  run: exportEvents,
  example: "factory-secrets audit export --factory acme --out acme.ndjson",
};

async function exportEvents({ context, client, given, isForProgram, print }: Run): Promise<void> {
  const { format = "ndjson", out, installation } = given<ExportFlags>();
  if (out === undefined && isForProgram)
    throw new CommandFailure(
      exitCodes.usage,
      "--json and --query describe the written file, so they need --out FILE. Without --out the export itself is printed, as NDJSON.",
    );
  const factory = installation === true ? undefined : client.factory;
  const { ofFactory, ofAll, isEvent } = forms[format];
  let events: number | undefined;
  const take = async (pieces: AsyncIterable<string>): Promise<void> => {
    events = 0;
    const counted = countLines(unbroken(pieces), isEvent, () => {
      events = (events ?? 0) + 1;
    });
    await (out === undefined ? writeAll(counted) : writeNewFile(out, counted));
  };
  const answer = await call(client, factory === undefined ? ofAll : ofFactory, {}, { take });
  if (events === undefined) throw explainForeignAnswer(client.connection.url, answer);
  if (out === undefined) return;
  if (isForProgram) await print({ file: out, events, factory }, () => "");
  const whose = factory === undefined ? "the installation" : `the factory ${factory}`;
  context.terminal.say(`Wrote ${out}: ${events.toLocaleString("en")} events of ${whose}.`);
}

/** @throws CommandFailure when the export is incomplete: it would look like an altered one */
async function* unbroken(pieces: AsyncIterable<string>): AsyncIterable<string> {
  try {
    yield* pieces;
  } catch {
    throw new CommandFailure(
      exitCodes.unavailable,
      "The connection broke before the end of the export. Run the command again.",
    );
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

const keysRow: Row = {
  words: "audit keys",
  about: "print the public keys that sign the audit, PEM; keep them where the database is not",
  run: showKeys,
  example: "factory-secrets audit keys > audit-keys.pem",
};

async function showKeys({ context, client, isForProgram, print }: Run): Promise<void> {
  const { body } = await call(client, "listAuditCheckpointKeys");
  const keys = listAt(body, "items").map((item) => textAt(item, "publicKey") ?? "");
  if (keys.length === 0)
    context.terminal.say(
      "No key exists yet. The server makes the first one with its first checkpoint, within a minute.",
    );
  if (isForProgram) return print(body, () => "");
  for (const key of keys) writeOut(key);
}

/**
 * `audit verify`: checks an export offline.
 * @param withoutFile - called when no file is named
 * @param aboutFile - description of the option --file
 */
export function verifyCommand(withoutFile: (given: VerifyArguments) => Promise<string>, aboutFile: string): Command {
  return new Command("verify")
    .description(
      "check that no event was altered, removed or inserted; exit code 0: intact, 1: broken, 2: could not be checked",
    )
    .option("--file <file>", aboutFile)
    .option("--public-key <file>", "the public keys to trust, PEM (from: audit keys)")
    .option("--checkpoint <file...>", "older checkpoints from another place: signed notes, or shipped lines")
    .addHelpText("after", "\nExample:\n  factory-secrets audit verify --file audit.ndjson --public-key audit-keys.pem")
    .action(async ({ file, ...given }: VerifyArguments & { file?: string }) => {
      writeOut(`${file === undefined ? await withoutFile(given) : await verifyOffline(file, given)}\n`);
    });
}

async function verifyOffline(file: string, given: VerifyArguments): Promise<string> {
  // No other command reads exports.
  const { verifyFile } = await import("./verify-export.js");
  return verifyFile(file, given);
}

type Operations = {
  ofFactory: "getFactoryAuditCheckpoint" | "getFactoryAuditProof";
  ofAll: "getAuditCheckpoint" | "getAuditProof";
};

const installation: Argument = ["--installation", "of the installation; needs an operator token"];

export const logRows: readonly Row[] = [
  {
    words: "audit checkpoint",
    about: "print the signed checkpoint of the log; keep it where the database is not",
    options: [installation],
    run: (run) => printText(run, { ofFactory: "getFactoryAuditCheckpoint", ofAll: "getAuditCheckpoint" }),
    example: "factory-secrets audit checkpoint > audit.checkpoint",
  },
  {
    words: "audit prove",
    about: "print a proof that an event is in the log, in the form of C2SP tlog-proof",
    options: [["--event <id>", "the id that `audit tail` and the export show", { isRequired: true }], installation],
    run: (run) => printText(run, { ofFactory: "getFactoryAuditProof", ofAll: "getAuditProof" }),
    example: "factory-secrets audit prove --event 5f0c1d7e8a2b4c6d9e0f1a2b3c4d5e6f > event.tlog-proof",
  },
];

async function printText({ context, client, given, isForProgram, print }: Run, { ofFactory, ofAll }: Operations) {
  const { installation: isOfAll, event } = given<{ installation?: boolean; event?: string }>();
  const operation = isOfAll === true || client.factory === undefined ? ofAll : ofFactory;
  const { text } = await call(client, operation, event === undefined ? {} : { event });
  if (isForProgram) return print({ text }, () => "");
  context.terminal.out(text.replace(/\n$/, ""));
}
