import { pem } from "../../audit/log/checkpoint.js";
import { exportCef, exportNdjson } from "../../audit/log/export.js";

import { cutSum, pruneAudit } from "../../audit/log/prune.js";
import { countSealed, installationId, logRange, signedLogs } from "../../audit/log/read-log.js";
import { AuditSealer, countUnsealed } from "../../audit/log/sealer.js";
import { AuditSigningKey, publicKeys } from "../../audit/log/signing-key.js";
import { AuditWriter } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Database, PrismaClient } from "../../db/database.js";
import { findFactory } from "../../factories/store.js";
import { openKeys } from "../../service/key-source.js";
import type { Settings } from "../../settings/settings.js";
import { writeNewFile } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { writeAll } from "../client/output.js";
import { type VerifyArguments, verifySource } from "../operator/verify-export.js";
import { dataDirectoryOf, type ServerDeps, withDatabase } from "./with-database.js";

export type ExportArguments = { factory?: string; format: "ndjson" | "cef"; out?: string };

/** Checks the database of the settings. @returns what was checked @throws CommandFailure as `verifyFile` and `withDatabase` */
export function verifyAudit(deps: ServerDeps, given: VerifyArguments): Promise<string> {
  return withDatabase(deps, ({ prisma }) => verifyDatabase(prisma, given));
}

/** Checks all logs of a database as an export of it, up to their last checkpoints. @throws CommandFailure as `verifyFile` */
export async function verifyDatabase(prisma: PrismaClient, given: VerifyArguments): Promise<string> {
  const installation = await installationId(prisma);
  const logs = installation === undefined ? [] : await signedLogs(prisma, installation);
  if (logs.length === 0)
    throw new CommandFailure(
      exitCodes.usage,
      "No checkpoint is signed yet. The server signs the first after a minute.",
    );
  const cutBefore = await cutSum(prisma);
  const { signed, unsigned } = await countSealed(prisma);
  const unsealed = await countUnsealed(prisma);
  const number = (value: number): string => value.toLocaleString("en");
  const newer = `Newer:     ${number(unsigned)} events are sealed and not signed yet, ${number(unsealed)} are not sealed yet`;
  const notes = unsigned + unsealed > 0 ? [newer] : [];
  try {
    const chunks = exportNdjson(prisma, logs, "installation");
    return await verifySource({ chunks, total: signed, notes }, given);
  } catch (error) {
    // A prune during the check looks like a break.
    if ((await cutSum(prisma)) === cutBefore) throw error;
    throw new CommandFailure(exitCodes.usage, "Events were pruned during the check. Run audit verify again.");
  }
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
 * Makes a new key sign checkpoints, unless another command did so after `askedAtMs` of the monotonic clock.
 * @returns its public half as PEM
 * @throws CommandFailure before the first start, and as `withDatabase`
 */
export function rotateAuditKey(deps: ServerDeps, askedAtMs: number): Promise<string> {
  return withAudit(deps, async ({ prisma, signingKey, sealer }) => {
    const installation = await installationId(prisma);
    if (installation === undefined)
      throw new CommandFailure(
        exitCodes.failed,
        "The installation has no audit yet, because its server was never started. Start it first.",
      );
    const since = new Date(databaseNow().getTime() - (performance.now() - askedAtMs));
    const keyId = await signingKey.rotate(installation, since);
    // The first signature of the new key covers the event of the rotation.
    await sealer.seal();
    await sealer.sign();
    const made = (await publicKeys(prisma)).find(({ id }) => id === keyId);
    if (made === undefined) throw new Error("a key that was just made is there");
    return pem(made.publicKey);
  });
}

/** Drops the events before that moment. @returns what was done @throws CommandFailure as `withDatabase` */
export function pruneBefore(deps: ServerDeps, before: Date): Promise<string> {
  return withAudit(deps, async (opened) => {
    // The command compared it with the clock of this machine, which can be wrong.
    if (before > databaseNow())
      throw new CommandFailure(exitCodes.usage, "--before is in the future by the clock of the database.");
    const removed = await pruneAudit(opened, before);
    if (removed === 0) return "Nothing was removed: no checkpoint from before that time covers an event.";
    return `Removed ${removed.toLocaleString("en")} events. Every export contains the signed checkpoints at which the logs now begin.`;
  });
}

function withAudit<T>(deps: ServerDeps, work: (opened: OpenedAudit) => Promise<T>): Promise<T> {
  return withDatabase(deps, async (database, settings) => work(await openAudit(settings, database)));
}

async function writeExport(opened: OpenedAudit, given: ExportArguments, say: ServerDeps["say"]): Promise<void> {
  const { factory, format, out } = given;
  const { prisma, sealer } = opened;
  const installation = await installationId(prisma);
  const id = factory === undefined ? installation : (await findFactory(prisma, factory))?.id;
  if (installation === undefined || id === undefined)
    throw new CommandFailure(
      exitCodes.failed,
      factory === undefined
        ? "The installation has no audit yet, because its server was never started. Start it first."
        : `There is no factory "${factory}".`,
    );
  await sealer.seal();
  await sealer.sign();
  const signed = await signedLogs(prisma, installation);
  const logs = factory === undefined ? signed : signed.filter((log) => log === id);
  if (logs.length === 0)
    throw new CommandFailure(
      exitCodes.failed,
      "No event of this log is sealed yet. Run the command again in a minute.",
    );
  const write = format === "cef" ? exportCef : exportNdjson;
  const chunks = write(prisma, logs, factory === undefined ? "installation" : "factory");
  if (out === undefined) return writeAll(chunks);
  // With mode 0600: an export names people and addresses.
  await writeNewFile(out, chunks);
  const ranges = await Promise.all(logs.map((log) => logRange(prisma, log)));
  const events = ranges.reduce(
    (sum, range) => sum + (range ? range.end.edge.size - (range.cut?.edge.size ?? 0) : 0),
    0,
  );
  say(`Wrote ${out}: ${events.toLocaleString("en")} events of ${logs.length} ${logs.length === 1 ? "log" : "logs"}.`);
}

/** What the commands need of the audit. */
type OpenedAudit = Database & { audit: AuditWriter; signingKey: AuditSigningKey; sealer: AuditSealer };

/** @throws KeyFormatError when the key-encryption key is not the one of this database: checkpoints are signed with it */
async function openAudit(settings: Settings, database: Database): Promise<OpenedAudit> {
  const { prisma, pool } = database;
  const keys = await openKeys(prisma, settings, dataDirectoryOf(settings));
  const audit = new AuditWriter(pool);
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  return { ...database, audit, signingKey, sealer: new AuditSealer({ prisma, signingKey, onError: () => undefined }) };
}
