import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import type { VerifyOptions } from "../../audit/chain/chain-verifier.js";
import { readExportLine } from "../../audit/chain/export-format.js";
import { exportRange } from "../../audit/chain/export-lines.js";
import { readPublicKeys } from "../../audit/chain/public-keys.js";
import type { SignedStatement } from "../../audit/chain/statement.js";
import { installationId } from "../../audit/chain/store.js";
import { AuditBroken, type Verified } from "../../audit/chain/verified.js";
import { verifyExport } from "../../audit/chain/verify-export.js";
import { checkFactoryStatements } from "../../audit/database-check/factory-statements.js";
import { findingSentence } from "../../audit/database-check/finding.js";
import { lastCuts } from "../../audit/database-check/store.js";
import { findStray } from "../../audit/database-check/stray-events.js";
import { walkInstallation } from "../../audit/database-check/walk/walk.js";
import type { Database } from "../../db/database.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar } from "../progress-bar.js";
import { type Beside, brokenSentences, nothingHeldSentence, verifiedSentences } from "./sentences.js";

type Reading = Pick<Database, "prisma" | "pool">;

/** `publicKey` and `checkpoint` are paths. */
export type VerifyArguments = { publicKey?: string | undefined; checkpoint?: readonly string[] | undefined };

/**
 * Checks an export and says what it checked, or the first break.
 * @throws CommandFailure with exit code 1 when it is broken, 2 when it cannot be read or compared, or is something else
 */
export async function verifyFile(file: string, given: VerifyArguments): Promise<string> {
  const options = await readOptions(given);
  const handle = await open(file, "r").catch((error: unknown) => unreadable(file, error));
  await requireExport(file, handle).finally(() => handle.close());
  const chunks = createReadStream(file, { encoding: "utf8", highWaterMark: 1024 * 1024 });
  const result = await barred((bar) => verifyExport(chunks, { ...options, onProgress: bar.show }));
  return report(result, options, given);
}

/** How every line of an export begins. */
const firstBytes = '{"type":"';

/** Of another file "BROKEN" would be an alarm for nothing; one that was cut short or altered further on is an export still. */
async function requireExport(file: string, handle: FileHandle): Promise<void> {
  const { buffer, bytesRead } = await handle
    .read(Buffer.alloc(firstBytes.length), 0, firstBytes.length, 0)
    .catch((error: unknown) => unreadable(file, error));
  if (firstBytes.startsWith(buffer.toString("latin1", 0, bytesRead))) return;
  throw new CommandFailure(exitCodes.usage, `${file}: this is no export of an audit in NDJSON.`);
}

/**
 * Checks what is in the database: the chain of the installation up to the last signed checkpoint, that the chain of each
 * factory has the same events in the same order, and that no event stands beside them.
 * @throws CommandFailure as `verifyFile`
 */
export async function verifyDatabase(database: Reading, given: VerifyArguments): Promise<string> {
  const options = await readOptions(given);
  const { prisma } = database;
  const cutsBefore = await lastCuts(prisma);
  const installation = await installationId(prisma);
  const range = installation === undefined ? undefined : await exportRange(prisma, installation);
  if (range === undefined) {
    throw new CommandFailure(
      exitCodes.usage,
      "No checkpoint is signed yet. The server signs the first after a minute.",
    );
  }
  try {
    const {
      verified: result,
      found,
      behind,
    } = await barred((bar) => walkInstallation(database, range, { ...options, onProgress: bar.show }));
    if (found !== undefined) throw broken(findingSentence(found));
    const { factories, waiting } = await compared(database, range.chain, options, result.through - result.from + 1);
    return report(result, options, given, { factories, newer: behind + waiting });
  } catch (error) {
    // What a prune took away while it was looked for would look like a break.
    if (isBreak(error) && !isDeepStrictEqual(await lastCuts(prisma), cutsBefore)) throw prunedMeanwhile();
    throw error;
  }
}

const isBreak = (error: unknown): boolean => error instanceof CommandFailure && error.exitCode === exitCodes.failed;

const prunedMeanwhile = (): CommandFailure =>
  new CommandFailure(exitCodes.usage, "Events were pruned while they were read, so this says nothing. Run it again.");

/** @throws CommandFailure when a comparison was asked for, and nothing was there to compare */
function report(result: Verified, options: VerifyOptions, given: VerifyArguments, beside?: Beside): string {
  const held = options.held?.length ?? 0;
  if (given.checkpoint !== undefined && result.held === 0) {
    throw new CommandFailure(exitCodes.usage, nothingHeldSentence(result, held));
  }
  const keyWasGiven = given.publicKey !== undefined;
  return verifiedSentences(result, { keyWasGiven, held, ...(beside && { beside }) });
}

/** @returns how many factories have a chain, and how many events wait for their places */
async function compared(
  database: Reading,
  installation: string,
  { keys }: VerifyOptions,
  total: number,
): Promise<{ factories: number; waiting: number }> {
  const bar = progressBar("Comparing");
  try {
    const { found, waiting } = await findStray(database, installation, (done) => bar.show(done, total));
    const { factories, unfit } = await checkFactoryStatements(database.prisma, keys);
    const problem = found ?? unfit;
    if (problem !== undefined) throw broken(problem);
    return { factories, waiting };
  } finally {
    bar.clear();
  }
}

const broken = (sentence: string) => new CommandFailure(exitCodes.failed, `BROKEN: ${sentence}.`);

async function barred<T>(verify: (bar: ReturnType<typeof progressBar>) => Promise<T>): Promise<T> {
  const bar = progressBar("Verifying");
  try {
    return await verify(bar);
  } catch (error) {
    if (error instanceof AuditBroken) throw new CommandFailure(exitCodes.failed, brokenSentences(error));
    throw error;
  } finally {
    bar.clear();
  }
}

async function readOptions({ publicKey, checkpoint = [] }: VerifyArguments): Promise<VerifyOptions> {
  const held = (await Promise.all(checkpoint.map(readHeld))).flat();
  return { held, ...(publicKey !== undefined && { keys: keysOf(publicKey, await textOf(publicKey)) }) };
}

function keysOf(path: string, text: string) {
  try {
    return readPublicKeys(text);
  } catch (error) {
    throw new CommandFailure(exitCodes.usage, `${path}: ${error instanceof Error ? error.message : "no public key"}`);
  }
}

async function readHeld(path: string): Promise<SignedStatement[]> {
  const texts = (await textOf(path)).split("\n").filter((text) => text.trim() !== "");
  return texts.flatMap((text, index) => {
    const line = readExportLine(text);
    if (line === undefined) throw new CommandFailure(exitCodes.usage, `${path}, line ${index + 1}, is no checkpoint.`);
    // What was shipped has events between the checkpoints.
    return "signed" in line ? [line.signed] : [];
  });
}

async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => unreadable(path, error));
}

function unreadable(path: string, error: unknown): never {
  throw new CommandFailure(
    exitCodes.usage,
    `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
  );
}
