import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { exportCef, exportNdjson, exportRange } from "../../audit/chain/export-lines.js";
import { pem } from "../../audit/chain/public-keys.js";
import { installationId, publicKeys } from "../../audit/chain/store.js";
import { pruneAudit } from "../../audit/retention/prune.js";
import type { Database } from "../../db/database.js";
import { findFactory } from "../../factories/store.js";
import { readSettings, type Settings } from "../../settings.js";
import { CommandFailed } from "../command-failed.js";
import { type OpenedAudit, openAudit } from "./open-audit.js";
import { type VerifyArguments, verifyDatabase, verifyFile } from "./verify.js";

/** Gives the database of the settings to a piece of work, and closes it after. */
type WithDatabase = <T>(settings: Settings, work: (database: Database) => Promise<T>) => Promise<T>;

type ExportArguments = { factory?: string; format: "ndjson" | "cef"; out?: string };

/** Adds `audit verify|export|keys|prune`. */
export function addAuditCommands(program: Command, withDatabase: WithDatabase): void {
  const audit = program.command("audit").description("check, export and shorten the audit");
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  const withAudit = <T>(work: (opened: OpenedAudit) => Promise<T>): Promise<T> => {
    const settings = readSettings(process.env);
    return withDatabase(settings, async (database) => work(await openAudit(settings, database)));
  };
  audit
    .command("verify")
    .description("check the chain of events and its signatures; exit code 0: whole, 1: broken, 2: could not be checked")
    .option("--file <file>", "an export in NDJSON, checked offline; without it, the database of the server's settings")
    .option("--public-key <file>", "the public keys to believe, PEM (see: audit keys)")
    .option("--checkpoint <file...>", "checkpoints or cuts that were kept elsewhere, one a line")
    .action(async ({ file, ...given }: VerifyArguments & { file?: string }) => {
      if (file !== undefined) return print(await verifyFile(file, given));
      return print(await withDatabase(readSettings(process.env), ({ prisma }) => verifyDatabase(prisma, given)));
    });
  audit
    .command("export")
    .description("write the events, oldest first, up to a checkpoint that is signed for it")
    .option("--factory <name>", "only the chain of this factory")
    .addOption(new Option("--format <format>", "ndjson can be verified").choices(["ndjson", "cef"]).default("ndjson"))
    .option("--out <file>", "a new file; without it, standard output")
    .action((given: ExportArguments) => withAudit((opened) => writeExport(opened, given)));
  audit
    .command("keys")
    .description("print the public keys that sign the audit, PEM; keep them where the database is not")
    .action(() =>
      withDatabase(readSettings(process.env), async ({ prisma }) => {
        for (const { publicKey } of await publicKeys(prisma)) process.stdout.write(pem(publicKey));
      }),
    );
  audit
    .command("prune")
    .description("drop the events that are older; a signed cut stays in their place. Export them first")
    .requiredOption("--before <time>", "RFC 3339, such as 2026-01-01T00:00:00Z", parseTime)
    .action(({ before }: { before: Date }) => withAudit(async (opened) => print(await prune(opened, before))));
}

async function writeExport(opened: OpenedAudit, { factory, format, out }: ExportArguments): Promise<void> {
  const { prisma, sealer } = opened;
  const chain = factory === undefined ? await installationId(prisma) : (await findFactory(prisma, factory))?.id;
  if (chain === undefined) throw new CommandFailed(`There is no factory ${factory ?? "yet"}.`, 1);
  await sealer.seal();
  const range = (await sealer.checkpoint(chain)) ? await exportRange(prisma, chain) : undefined;
  if (range === undefined) throw new CommandFailed("No event of this chain is sealed yet.", 1);
  const chunks = format === "cef" ? exportCef(prisma, range) : exportNdjson(prisma, range);
  // An export names people and addresses; it is not for everybody, and no file is overwritten.
  if (out !== undefined) await pipeline(Readable.from(chunks), createWriteStream(out, { flags: "wx", mode: 0o600 }));
  else await pipeline(Readable.from(chunks), process.stdout, { end: false });
}

async function prune(opened: OpenedAudit, before: Date): Promise<string> {
  const pruned = await pruneAudit(opened, before);
  if (pruned === undefined) return "Nothing is older.";
  return `Removed ${pruned.removed} events, up to position ${pruned.through}. A signed cut says so in every export.`;
}

function parseTime(text: string): Date {
  const time = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}T/.test(text) || Number.isNaN(time.getTime()))
    throw new InvalidArgumentError("no RFC 3339 time");
  if (time > new Date()) throw new InvalidArgumentError("that is in the future");
  return time;
}
