import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import type { VerifyOptions } from "../../audit/chain/chain-verifier.js";
import { readExportLine } from "../../audit/chain/export-format.js";
import { readPublicKeys } from "../../audit/chain/public-keys.js";
import type { SignedStatement } from "../../audit/chain/statement.js";
import { AuditBroken, type Verified } from "../../audit/chain/verified.js";
import { verifyExport } from "../../audit/chain/verify-export.js";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar } from "../progress-bar.js";
import { type Beside, brokenSentences, nothingHeldSentence, verifiedSentences } from "./sentences.js";

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

/** What was checked, in sentences. @throws CommandFailure when a comparison was asked for, and nothing was there to compare */
export function report(result: Verified, options: VerifyOptions, given: VerifyArguments, beside?: Beside): string {
  const held = options.held?.length ?? 0;
  if (given.checkpoint !== undefined && result.held === 0) {
    throw new CommandFailure(exitCodes.usage, nothingHeldSentence(result, held));
  }
  const keyWasGiven = given.publicKey !== undefined;
  return verifiedSentences(result, { keyWasGiven, held, ...(beside && { beside }) });
}

/** Verifies with a bar on the terminal. @throws CommandFailure at a break */
export async function barred<T>(verify: (bar: ReturnType<typeof progressBar>) => Promise<T>): Promise<T> {
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

/** @throws CommandFailure when a file cannot be read, or holds something else */
export async function readOptions({ publicKey, checkpoint = [] }: VerifyArguments): Promise<VerifyOptions> {
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
  throw new CommandFailure(exitCodes.usage, `${path} cannot be read (${systemReason(error)}).`);
}
