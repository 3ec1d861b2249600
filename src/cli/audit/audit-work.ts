import { exportCef, exportNdjson, exportRange } from "../../audit/chain/export-lines.js";
import { publicKeys } from "../../audit/chain/keys/store.js";
import { pem } from "../../audit/chain/public-keys.js";
import { AuditSealer } from "../../audit/chain/sealer.js";
import { AuditSigningKey } from "../../audit/chain/signing-key.js";
import { installationId } from "../../audit/chain/store.js";
import { AuditWriter } from "../../audit/record.js";
import { pruneAudit } from "../../audit/retention/prune.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Database } from "../../db/database.js";
import { findFactory } from "../../factories/store.js";
import { openKeys } from "../../service/key-source.js";
import type { Settings } from "../../settings/settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { writeAll } from "../client/output.js";
import { writeNewFile } from "../client/write-new-file.js";
import { dataDirectoryOf, type ServerDeps, withDatabase } from "../server-work.js";
import { verifyDatabase } from "./verify.js";
import type { VerifyArguments } from "./verify-file.js";

export type ExportArguments = { factory?: string; format: "ndjson" | "cef"; out?: string };

/** Checks the database of the settings. @returns what was checked @throws CommandFailure as `verifyFile` and `withDatabase` */
export function verifyAudit(deps: ServerDeps, given: VerifyArguments): Promise<string> {
  return withDatabase(deps, (database) => verifyDatabase(database, given));
}

/** Writes the events to `out`, or to standard output. @throws CommandFailure when there are none, and as `withDatabase` */
export function exportAudit(deps: ServerDeps, given: ExportArguments): Promise<void> {
  return withAudit(deps, (opened) => writeExport(opened, given, deps.say));
}

/** The public keys that sign the audit, each as PEM. @throws CommandFailure as `withDatabase` */
export function auditKeys(deps: ServerDeps): Promise<string[]> {
  return withDatabase(deps, async ({ prisma }) => (await publicKeys(prisma)).map(({ publicKey }) => pem(publicKey)));
}

/**
 * Makes a new key sign checkpoints and cuts, unless somebody else did since this was asked for, which was `askedAtMs` by
 * the monotonic clock of this process.
 * @returns its public half as PEM
 * @throws CommandFailure before the first start, and as `withDatabase`
 */
export function rotateAuditKey(deps: ServerDeps, askedAtMs: number): Promise<string> {
  return withAudit(deps, async ({ prisma, signingKey, sealer }) => {
    const installation = await installationId(prisma);
    if (installation === undefined) throw new CommandFailure(exitCodes.failed, "Nothing was started here yet.");
    const since = new Date(databaseNow().getTime() - (performance.now() - askedAtMs));
    const keyId = await signingKey.rotate(installation, since);
    // The event of the rotation stands under the first signature of the new key.
    await sealer.seal();
    await sealer.checkpoint(installation);
    const made = (await publicKeys(prisma)).find(({ id }) => id === keyId);
    if (made === undefined) throw new Error("a key that was just made is there");
    return pem(made.publicKey);
  });
}

/** Drops the events before that moment. @returns what was done @throws CommandFailure at a damaged one, and as `withDatabase` */
export function pruneBefore(deps: ServerDeps, before: Date): Promise<string> {
  return withAudit(deps, async (opened) => {
    // Whoever typed it was asked for a past time by a clock that can be wrong.
    if (before > databaseNow())
      throw new CommandFailure(exitCodes.usage, "--before is in the future, by the database's clock.");
    const { pruned, damaged } = await pruneAudit(opened, before);
    const removed =
      pruned &&
      `Removed ${pruned.removed} events, up to position ${pruned.through}. A signed cut says so in every export.`;
    if (damaged === undefined) return removed ?? "Nothing is older.";
    const kept = `Nothing was removed from there on: ${damaged}, so nothing says how old it is. Look at it with audit verify.`;
    throw new CommandFailure(exitCodes.failed, removed === undefined ? kept : `${removed}\n${kept}`);
  });
}

function withAudit<T>(deps: ServerDeps, work: (opened: OpenedAudit) => Promise<T>): Promise<T> {
  return withDatabase(deps, async (database, settings) => work(await openAudit(settings, database)));
}

async function writeExport(opened: OpenedAudit, given: ExportArguments, say: ServerDeps["say"]): Promise<void> {
  const { factory, format, out } = given;
  const { prisma, sealer } = opened;
  const chain = factory === undefined ? await installationId(prisma) : (await findFactory(prisma, factory))?.id;
  if (chain === undefined) throw new CommandFailure(exitCodes.failed, `There is no factory ${factory ?? "yet"}.`);
  await sealer.seal();
  const range = (await sealer.checkpoint(chain)) ? await exportRange(prisma, chain) : undefined;
  if (range === undefined) throw new CommandFailure(exitCodes.failed, "No event of this chain is sealed yet.");
  const onDamaged = (sentence: string) => say(`Look at it with audit verify: ${sentence}.`);
  const chunks = format === "cef" ? exportCef(prisma, range) : exportNdjson(prisma, range, onDamaged);
  if (out === undefined) return writeAll(chunks);
  // An export names people and addresses; it is not for everybody.
  await writeNewFile(out, chunks);
  const number = (value: number): string => value.toLocaleString("en");
  const { after, through } = range;
  say(`Wrote ${out}: ${number(through - after)} events, positions ${number(after + 1)} to ${number(through)}.`);
}

/** What a command does with the audit, beside a server that runs. */
type OpenedAudit = Database & { audit: AuditWriter; signingKey: AuditSigningKey; sealer: AuditSealer };

/** @throws KeyFormatError when the key-encryption key is not the one of this database: checkpoints are signed with it */
async function openAudit(settings: Settings, database: Database): Promise<OpenedAudit> {
  const { prisma, pool } = database;
  const keys = await openKeys(prisma, settings, dataDirectoryOf(settings));
  const audit = new AuditWriter(pool);
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  return { ...database, audit, signingKey, sealer: new AuditSealer({ prisma, signingKey, onError: () => undefined }) };
}
