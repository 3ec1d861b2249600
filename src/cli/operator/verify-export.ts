import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { logIdOf, readCheckpoint, readPublicKeys } from "../../audit/log/checkpoint.js";
import { AuditBroken, type VerifiedLog, type VerifyOptions, verifyExport } from "../../audit/log/verify.js";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar } from "../client/output.js";

/** `publicKey` and `checkpoint` are paths. */
export type VerifyArguments = { publicKey?: string | undefined; checkpoint?: readonly string[] | undefined };

/** An export, its approximate number of events, and further lines for the report. */
type Source = { chunks: AsyncIterable<string | Uint8Array>; total: number; notes: readonly string[] };

/**
 * Checks an export.
 * @returns what was checked, as text
 * @throws CommandFailure with exit code 1 at the first break, 2 when it cannot be read or compared, or is not an export
 */
export async function verifyFile(file: string, given: VerifyArguments): Promise<string> {
  const handle = await open(file, "r").catch((error: unknown) => unreadable(file, error));
  await requireExport(file, handle).finally(() => handle.close());
  const chunks = createReadStream(file, { highWaterMark: 1024 * 1024 });
  return verifySource({ chunks, total: 0, notes: [] }, given);
}

/** As `verifyFile`, for an export from another source. */
export async function verifySource({ chunks, total, notes }: Source, given: VerifyArguments): Promise<string> {
  const options = await readOptions(given);
  const bar = progressBar("Verifying");
  const onProgress = (events: number): void => bar.show(events, Math.max(events, total));
  const logs = await verifyExport(chunks, { ...options, onProgress })
    .catch((error: unknown) => {
      throw error instanceof AuditBroken ? new CommandFailure(exitCodes.failed, brokenSentences(error)) : error;
    })
    .finally(() => bar.clear());
  const compared = keptSentences(logs, options.kept ?? []);
  if (given.checkpoint !== undefined && logs.every((log) => log.kept === 0)) {
    const why = compared.length === 0 ? "the files contain no checkpoint" : compared.join(", ");
    throw new CommandFailure(exitCodes.usage, `Your checkpoints (--checkpoint) could not be compared: ${why}.`);
  }
  const keys = [...new Set(logs.flatMap(({ keyIds }) => keyIds))].join(", ");
  const trust = given.publicKey === undefined ? " (no --public-key was given: compare it with your copy)" : "";
  return [
    ...logs.map(logSentence),
    ...compared.map((text) => `Compared:  ${text}`),
    ...notes,
    `Signed by: ${keys}${trust}`,
    "OK: no event was altered, removed, inserted, re-ordered or truncated.",
  ].join("\n");
}

const number = (value: number): string => value.toLocaleString("en");

const are = (value: number): string => `${number(value)} ${value === 1 ? "is" : "are"}`;

/** How every line of an export begins. */
const firstBytes = '{"type":"';

/** For another kind of file BROKEN would be a false alarm. A truncated or altered export still begins like one. */
async function requireExport(file: string, handle: FileHandle): Promise<void> {
  const { buffer, bytesRead } = await handle
    .read(Buffer.alloc(firstBytes.length), 0, firstBytes.length, 0)
    .catch((error: unknown) => unreadable(file, error));
  if (firstBytes.startsWith(buffer.toString("latin1", 0, bytesRead))) return;
  throw new CommandFailure(
    exitCodes.usage,
    `${file} is not an export of the audit in NDJSON. To make one: factory-secrets audit export --out audit.ndjson`,
  );
}

function logSentence({ origin, from, size, checkpoints, firstAt, lastAt }: VerifiedLog): string {
  const id = logIdOf(origin);
  const isFactory = origin.split("/").length > 2;
  const events = size - from;
  const told = [
    `Log:       ${isFactory ? "factory" : "installation"} ${id}: ${number(events)} ${events === 1 ? "event" : "events"}`,
    ...(events > 0 ? [`index ${number(from)} to ${number(size - 1)}`, `${firstAt} to ${lastAt}`] : []),
    `${number(checkpoints)} ${checkpoints === 1 ? "checkpoint fits" : "checkpoints fit"}`,
    ...(from > 0 ? [`events before index ${number(from)} were dropped by a prune`] : []),
  ];
  return told.join(", ");
}

function keptSentences(logs: readonly VerifiedLog[], kept: readonly string[]): string[] {
  const sum = (count: (log: VerifiedLog) => number): number => logs.reduce((total, log) => total + count(log), 0);
  const [fit, dropped] = [sum((log) => log.kept), sum((log) => log.keptBeforeCut)];
  const elsewhere = kept.length - fit - dropped;
  return [
    ...(fit > 0 ? [`${number(fit)} of your checkpoints ${fit === 1 ? "fits" : "fit"}`] : []),
    ...(dropped > 0 ? [`${are(dropped)} about events that were dropped by a prune`] : []),
    ...(elsewhere > 0 ? [`${are(elsewhere)} about a log that is not in this export`] : []),
  ];
}

function brokenSentences({ line, reason, covered }: AuditBroken): string {
  const before =
    covered === undefined || covered.size === 0
      ? "No checkpoint covers an event before it."
      : `A checkpoint covers all events before index ${number(covered.size)} of the log ${covered.origin}.`;
  return `BROKEN at line ${number(line)}: ${reason}.\n${before}`;
}

/** @throws CommandFailure when a file cannot be read or has other content */
async function readOptions({ publicKey, checkpoint = [] }: VerifyArguments): Promise<VerifyOptions> {
  const kept = (await Promise.all(checkpoint.map(readKept))).flat();
  return { kept, ...(publicKey !== undefined && { keys: keysOf(publicKey, await textOf(publicKey)) }) };
}

function keysOf(path: string, text: string) {
  try {
    return readPublicKeys(text);
  } catch (error) {
    throw new CommandFailure(exitCodes.usage, `${path}: ${error instanceof Error ? error.message : "no public key"}`);
  }
}

/** The checkpoints of a signed note, or of lines of an export or of shipped lines. */
async function readKept(path: string): Promise<string[]> {
  const text = await textOf(path);
  if (readCheckpoint(text) !== undefined) return [text];
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.flatMap((line, index) => {
    const note = noteIn(line);
    if (note === undefined)
      throw new CommandFailure(exitCodes.usage, `${path}, line ${index + 1}: this is not a checkpoint.`);
    return note === "" ? [] : [note];
  });
}

/** The signed note in a line; empty for another line of an export; `undefined` for any other text. */
function noteIn(line: string): string | undefined {
  if (!line.startsWith(firstBytes)) return undefined;
  if (!line.startsWith('{"type":"checkpoint"') && !line.startsWith('{"type":"cut"')) return "";
  try {
    const { note }: { note?: unknown } = JSON.parse(line);
    return typeof note === "string" && readCheckpoint(note) !== undefined ? note : undefined;
  } catch {
    return undefined;
  }
}

async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => unreadable(path, error));
}

function unreadable(path: string, error: unknown): never {
  throw new CommandFailure(exitCodes.usage, `${path} cannot be read (${systemReason(error)}).`);
}
