import { createHash, createHmac, type Hmac, timingSafeEqual } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { KeyEncryptionKey } from "../crypto/key-encryption-key.js";
import { openBackupKey } from "./backup-key.js";
import {
  alteredBackup,
  type BackupHeader,
  BackupRefused,
  type BackupTable,
  endOfRows,
  LineCursor,
  maxHeaderBytes,
  readHeader,
  trailer,
  trailerBytes,
} from "./format.js";

/** What becomes of the rows of a part: lines of `COPY`'s text format, in chunks. To be read to the end. */
export type TakeRows = (table: BackupTable, rows: AsyncIterable<Buffer>) => Promise<void>;

/** `sha256`: of the whole file, as `sha256sum` gives it. */
export type ReadBackup = { header: BackupHeader; sha256: string };

/**
 * Reads a backup from its first byte to its last and checks that a service which held one of `keys` wrote all of it.
 * The rows are given away before the end is known to be good: anyone who keeps them must be able to take them back.
 * @throws BackupRefused when it is not one, of a newer format, cut short or altered, or its key is not among `keys`; and
 *   what `takeRows` throws
 */
export async function readBackup(
  chunks: AsyncIterable<Buffer>,
  keys: readonly KeyEncryptionKey[],
  takeRows: TakeRows,
): Promise<ReadBackup> {
  const sums = createSums();
  const cursor = new LineCursor(summed(chunks, sums));
  try {
    const first = await cursor.line(maxHeaderBytes);
    if (first === undefined) throw new BackupRefused("This is not a backup of factory-secrets.");
    const header = readHeader(first);
    sums.authenticateWith(await openBackupKey(keys, header));
    await readRows(cursor, header, takeRows);
    return { header, sha256: sums.end() };
  } finally {
    await cursor.close();
  }
}

/** Sums up what was read. The key of the HMAC is in the first line, so the bytes up to that wait for it. */
function createSums() {
  const hash = createHash("sha256");
  const waiting: Buffer[] = [];
  let hmac: Hmac | undefined;
  let tail = Buffer.alloc(0);
  return {
    /** @returns what of the bytes so far is certainly not of the trailer: where that begins is known at the end only */
    take(chunk: Buffer): Buffer {
      const held = Buffer.concat([tail, chunk]);
      const free = Math.max(0, held.length - trailerBytes);
      tail = held.subarray(free);
      const given = held.subarray(0, free);
      hash.update(given);
      if (hmac) hmac.update(given);
      else waiting.push(given);
      return given;
    },
    authenticateWith(key: Buffer): void {
      hmac = createHmac("sha256", key);
      for (const chunk of waiting.splice(0)) hmac.update(chunk);
    },
    /** @returns the SHA-256 of the whole file. @throws BackupRefused when its HMAC is another one */
    end(): string {
      const expected = Buffer.from(trailer(hmac?.digest("hex") ?? ""));
      if (tail.length !== expected.length || !timingSafeEqual(tail, expected)) throw alteredBackup();
      return hash.update(tail).digest("hex");
    },
  };
}

async function* summed(chunks: AsyncIterable<Buffer>, sums: ReturnType<typeof createSums>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    const given = sums.take(chunk);
    if (given.length > 0) yield given;
  }
}

async function readRows(cursor: LineCursor, header: BackupHeader, takeRows: TakeRows): Promise<void> {
  try {
    await pipeline(cursor.rest(), createGunzip(), (unzipped: AsyncIterable<Buffer>) =>
      readParts(new LineCursor(unzipped), header.tables, takeRows),
    );
  } catch (error) {
    throw isZlibError(error) ? alteredBackup() : error;
  }
  // What follows the end of the gzip stream is read past by no one else.
  for await (const _chunk of cursor.rest());
}

async function readParts(lines: LineCursor, tables: readonly BackupTable[], takeRows: TakeRows): Promise<void> {
  for (const table of tables) {
    await takeRows(table, lines.take(table.rows));
    if ((await lines.line(endOfRows.length)) !== endOfRows) throw alteredBackup();
  }
  for await (const _chunk of lines.rest()) throw alteredBackup();
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("Z_");
}
