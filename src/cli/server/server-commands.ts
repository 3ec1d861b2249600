import { Command, InvalidArgumentError, Option } from "commander";
import { writeOut } from "../client/output.js";
import { timeOf } from "../client/read-time.js";
import { logRows, verifyCommand } from "../operator/audit-commands.js";
import { tailRow } from "../operator/audit-tail.js";
import { type CommandDeps, commandOf } from "../operator/command.js";
import type { ExportArguments } from "./audit.js";
import type { ReplaceInput } from "./credentials.js";
import type { RestoreArguments } from "./restore.js";
import type { ServerDeps } from "./with-database.js";

/**
 * The commands that run on the server's machine with its settings. What they do is loaded when one runs, because it loads
 * the server.
 * @param operator - for the commands of `audit` that ask the service
 */
export function serverCommands(server: ServerDeps, operator: CommandDeps): Command[] {
  const audit = auditCommand(server);
  for (const row of [tailRow, ...logRows]) audit.addCommand(commandOf(operator, row));
  return [
    audit,
    operatorTokenCommand(server),
    signingKeysCommand(server),
    keysCommand(server),
    backupCommand(server),
    restoreCommand(server),
  ];
}

const print = (text: string): void => void writeOut(`${text}\n`);

const example = (lines: string): string => `\nExample:\n${lines.replace(/^/gm, "  ")}`;

/** `audit verify|export|keys|rotate-key|prune`. */
function auditCommand(server: ServerDeps): Command {
  const audit = new Command("audit")
    .description("read, check, export and shorten the audit")
    .addHelpText(
      "after",
      example(
        "npx factory-secrets audit export --out audit.ndjson\nnpx factory-secrets audit verify --file audit.ndjson",
      ),
    );
  audit.addCommand(
    verifyCommand(
      async (given) => (await import("./audit.js")).verifyAudit(server, given),
      "an export in NDJSON, checked offline; without it, the database of the server's settings",
    ),
  );
  audit
    .command("export")
    .description("write the events, oldest first, up to checkpoints that are signed for it")
    .option("--factory <name>", "only the log of this factory")
    .addOption(new Option("--format <format>", "ndjson can be verified").choices(["ndjson", "cef"]).default("ndjson"))
    .option("--out <file>", "a new file; without it, standard output")
    .addHelpText("after", example("npx factory-secrets audit export --factory acme --out acme.ndjson"))
    .action(async (given: ExportArguments) => (await import("./audit.js")).exportAudit(server, given));
  addAuditKeyCommands(audit, server);
  return audit;
}

/** `keys|rotate-key|prune`. */
function addAuditKeyCommands(audit: Command, server: ServerDeps): void {
  audit
    .command("keys")
    .description("print the public keys that sign the audit, PEM; keep them where the database is not")
    .addHelpText("after", example("npx factory-secrets audit keys > audit-keys.pem"))
    .action(async () => {
      const { auditKeys } = await import("./audit.js");
      const keys = await auditKeys(server);
      if (keys.length === 0)
        server.say("No key exists yet. The server makes the first one with its first checkpoint, within a minute.");
      for (const key of keys) writeOut(key);
    });
  audit
    .command("rotate-key")
    .description("make a new key sign checkpoints, also while the server runs; print its public half, PEM")
    .addHelpText("after", example("npx factory-secrets audit rotate-key >> audit-keys.pem"))
    .action(async () => {
      const askedAtMs = performance.now();
      const { rotateAuditKey } = await import("./audit.js");
      writeOut(await rotateAuditKey(server, askedAtMs));
    });
  audit
    .command("prune")
    .description("drop the events that checkpoints from before a time cover; export them first")
    .requiredOption("--before <time>", "RFC 3339, a date, or a length such as 365d", parsePastTime)
    .addHelpText("after", example("npx factory-secrets audit prune --before 2026-01-01T00:00:00Z"))
    .action(async ({ before }: { before: Date }) => {
      const { pruneBefore } = await import("./audit.js");
      print(await pruneBefore(server, before));
    });
}

function parsePastTime(text: string): Date {
  const time = timeOf(text, "past", new Date());
  if (time === undefined) throw new InvalidArgumentError("Write RFC 3339, a date, or a length such as 90d.");
  if (time > new Date()) throw new InvalidArgumentError("That is in the future.");
  return time;
}

function operatorTokenCommand(server: ServerDeps): Command {
  return new Command("operator-token")
    .description("make a new operator token and print it, alone on a line")
    .option("--name <name>", "a name for it", "command line")
    .addHelpText(
      "after",
      `\nIt uses the settings of the server (DATABASE_URL, or the data directory), also while the server runs.\n${example("export FACTORY_SECRETS_TOKEN=$(npx factory-secrets operator-token)")}`,
    )
    .action(async ({ name }: { name: string }) => {
      const { makeOperatorToken } = await import("./credentials.js");
      print(await makeOperatorToken(server, name));
    });
}

function signingKeysCommand(server: ServerDeps): Command {
  const command = new Command("signing-keys")
    .description("the keys that sign access tokens, tokens of the relay, and what the clouds take in place of secrets")
    .addHelpText("after", example("npx factory-secrets signing-keys list"));
  command
    .command("list")
    .description("print the keys that sign, will sign or still verify, newest first")
    .addHelpText("after", example("npx factory-secrets signing-keys list"))
    .action(async () => {
      const { signingKeyLines } = await import("./credentials.js");
      const lines = await signingKeyLines(server);
      if (lines.length === 0)
        server.say("No signing key exists yet. The server makes each one when it first needs it.");
      for (const line of lines) print(line);
    });
  command
    .command("rotate")
    .description("make a new key, also while the server runs, and print its id")
    .addOption(
      new Option(
        "--purpose <purpose>",
        "what it signs: access tokens, what the clouds take in place of secrets, or tokens of the relay",
      )
        .choices(["api-access", "federation", "relay"])
        .default("api-access"),
    )
    .option("--compromised", "others may have the present key: take it out of use at once")
    .addHelpText(
      "after",
      `\nA key for federation is published for two days before it signs, because clouds cache the published keys.\nWith --compromised it signs at once; a cloud that has not fetched it yet refuses it for a while.\n${example("npx factory-secrets signing-keys rotate --purpose federation")}`,
    )
    .action(async (options: { purpose: ReplaceInput["purpose"]; compromised?: true }) => {
      const { rotateSigningKey } = await import("./credentials.js");
      const input = { purpose: options.purpose, isCompromised: options.compromised ?? false };
      const { keyId, signsFrom } = await rotateSigningKey(server, input);
      print(keyId);
      if (signsFrom) server.say(`The key is published now and signs from ${signsFrom.toISOString()}.`);
    });
  return command;
}

const rate = ["--per-second <number>", "how many to move in a second, at most", parseRate, 100] as const;

/** By the name of the command. */
const keyExamples: Readonly<Record<string, string>> = {
  list: "npx factory-secrets keys list",
  add: "npx factory-secrets keys add kek-b0a3fa1d4f0c9d52",
  activate: "npx factory-secrets keys activate kek-b0a3fa1d4f0c9d52",
  rewrap: "npx factory-secrets keys rewrap --per-second 200",
  retire: "npx factory-secrets keys retire kek-6f1d1c4c3c1f2a10",
  "rotate-data-key": "npx factory-secrets keys rotate-data-key --factory acme",
};

/** `keys list|add|activate|rewrap|retire|rotate-data-key`. */
function keysCommand(server: ServerDeps): Command {
  const keys = new Command("keys").description("the key-encryption keys, and the data keys of factories");
  keys
    .command("list")
    .description("print each key: its state, where it is, and what it wraps")
    .action(async () => {
      const { keyLines } = await import("./keys.js");
      for (const line of await keyLines(server)) print(line);
    });
  keys
    .command("add")
    .description("make a key of FACTORY_SECRETS_KEYS known to the installation; it wraps nothing yet")
    .argument("<key>", "its id or its address, as keys list shows them")
    .action(async (key: string) => print(await (await import("./keys.js")).addOne(server, key)));
  keys
    .command("activate")
    .description("wrap everything new with this key, on every replica at once")
    .argument("<key>", "its id or its address")
    .option("--force", "also when a running replica does not hold it", false)
    .action(async (key: string, { force }: { force: boolean }) =>
      print(await (await import("./keys.js")).activateOne(server, key, force)),
    );
  addMovingCommands(keys, server);
  for (const command of keys.commands) command.addHelpText("after", example(keyExamples[command.name()] ?? ""));
  return keys.addHelpText(
    "after",
    `\nThese commands use the settings of the server, also while it runs. When a command is interrupted, the server or the\nsame command finishes its work.\n${example("npx factory-secrets keys list")}`,
  );
}

/** `rewrap|retire|rotate-data-key`. */
function addMovingCommands(keys: Command, server: ServerDeps): void {
  keys
    .command("rewrap")
    .description("wrap with the active key what other keys wrap, also while the server runs")
    .argument("[key]", "the id of the key to free; without it, all but the active one")
    .option(...rate)
    .action(async (key: string | undefined, { perSecond }: { perSecond: number }) => {
      const { rewrapAll } = await import("./keys.js");
      for (const line of await rewrapAll(server, key, perSecond)) print(line);
    });
  keys
    .command("retire")
    .description("retire a key that wraps nothing; afterwards it may leave the settings")
    .argument("<key>", "its id")
    .action(async (key: string) => print(await (await import("./keys.js")).retireOne(server, key)));
  keys
    .command("rotate-data-key")
    .description("give a factory a new data key and seal its values again, also while the server runs")
    .requiredOption("--factory <name>", "its name")
    .option(...rate)
    .action(async ({ factory, perSecond }: { factory: string; perSecond: number }) => {
      const { rotateDataKey } = await import("./keys.js");
      print(await rotateDataKey(server, factory, perSecond));
    });
}

function parseRate(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 10_000) throw new InvalidArgumentError("Write a whole number from 1 to 10000.");
  return value;
}

function backupCommand(server: ServerDeps): Command {
  return new Command("backup")
    .description("write everything but the key-encryption key into a file, also while the server runs")
    .requiredOption("--out <file>", "a new file, or - for standard output")
    .addHelpText(
      "after",
      `\nWithout the key-encryption key a backup is useless: keep a copy of the key, in another place.\n${example("npx factory-secrets backup --out factory-secrets.$(date +%F).backup")}`,
    )
    .action(async ({ out }: { out: string }) => (await import("./backup.js")).writeBackup(server, out));
}

function restoreCommand(server: ServerDeps): Command {
  return new Command("restore")
    .description("check a backup from end to end, then put it into an empty database")
    .requiredOption("--in <file>", "what backup wrote")
    .option("--check", "only check the file; needs the key-encryption key and no database")
    .option("--sha256 <hex>", "refuse a file with another SHA-256 than backup printed", parseSha256)
    .option("--revoke-credentials", "withdraw every operator token, API token and OAuth client of the backup")
    .addHelpText(
      "after",
      `\nJobs and sessions of the backup are ended. Everything else is as it was when the backup was made: what was\nwithdrawn, denied or destroyed since is back.\n${example("npx factory-secrets restore --check --in factory-secrets.2026-11-24.backup")}`,
    )
    .action(async (given: RestoreArguments) => (await import("./restore.js")).readIntoDatabase(server, given));
}

function parseSha256(text: string): string {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new InvalidArgumentError("Write 64 hexadecimal digits.");
  return text;
}
