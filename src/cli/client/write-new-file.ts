import { open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "./command-failure.js";

/**
 * Writes a file that only its owner may read, and that is not there yet. What was begun and could not be ended is removed.
 * @throws CommandFailure when it exists or cannot be made
 */
export async function writeNewFile(path: string, pieces: AsyncIterable<string>): Promise<void> {
  const absolute = resolve(path);
  const file = await open(absolute, "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
    const why =
      error.code === "EEXIST" ? "exists. Nothing is overwritten." : `cannot be written (${systemReason(error)}).`;
    throw new CommandFailure(exitCodes.failed, `${absolute} ${why}`);
  });
  try {
    await pipeline(Readable.from(pieces), file.createWriteStream());
  } catch (error) {
    await rm(absolute, { force: true });
    throw error;
  }
}
