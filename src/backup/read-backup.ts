import { createHash, type Hash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import {
  type BackupHeader,
  BackupRefused,
  type BackupTable,
  endOfRows,
  maxHeaderBytes,
  readHeader,
  trailer,
  trailerBytes,
} from "./format.js";
import { LineCursor } from "./line-cursor.js";

/** What becomes of the rows of a part: lines of `COPY`'s text format, in chunks. To be read to the end. */
export type TakeRows = (table: BackupTable, rows: AsyncIterable<Buffer>) => Promise<void>;

/** `sha256`: of the whole file, as `sha256sum` gives it. */
export type ReadBackup = { header: BackupHeader; sha256: string };

/**
 * Reads a backup from its first byte to its last and checks all of it. The rows are given away before the end is known
 * to be good: whoever keeps them must be able to take them back.
 * @throws BackupRefused when it is none, of a newer format, cut short or altered; and what `takeRows` throws
 */
export async function readBackup(chunks: AsyncIterable<Buffer>, takeRows: TakeRows): Promise<ReadBackup> {
  const hash = createHash("sha256");
  const tail = { bytes: Buffer.alloc(0) };
  const cursor = new LineCursor(hashed(chunks, hash, tail));
  try {
    const first = await cursor.line(maxHeaderBytes);
    if (first === undefined) throw new BackupRefused("This is no backup of factory-secrets.");
    const header = readHeader(first);
    await readRows(cursor, header, takeRows);
    if (tail.bytes.toString("latin1") !== trailer(hash.copy().digest("hex"))) throw altered();
    return { header, sha256: hash.update(tail.bytes).digest("hex") };
  } finally {
    await cursor.close();
  }
}

const altered = (): BackupRefused =>
  new BackupRefused("This backup is damaged: it was cut short or altered. Nothing of it was restored.");

/** Everything but the trailer, which goes into `tail`: where it begins is known at the end only. */
async function* hashed(chunks: AsyncIterable<Buffer>, hash: Hash, tail: { bytes: Buffer }): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    const held = Buffer.concat([tail.bytes, chunk]);
    const free = Math.max(0, held.length - trailerBytes);
    tail.bytes = held.subarray(free);
    if (free === 0) continue;
    const given = held.subarray(0, free);
    hash.update(given);
    yield given;
  }
}

async function readRows(cursor: LineCursor, header: BackupHeader, takeRows: TakeRows): Promise<void> {
  try {
    await pipeline(cursor.rest(), createGunzip(), (unzipped: AsyncIterable<Buffer>) =>
      readParts(new LineCursor(unzipped), header.tables, takeRows),
    );
  } catch (error) {
    throw isZlibError(error) ? altered() : error;
  }
  // What follows the end of the gzip stream is read past by no one else.
  for await (const _chunk of cursor.rest());
}

async function readParts(lines: LineCursor, tables: readonly BackupTable[], takeRows: TakeRows): Promise<void> {
  for (const table of tables) {
    await takeRows(table, lines.take(table.rows));
    if ((await lines.line(endOfRows.length)) !== endOfRows) throw altered();
  }
  for await (const _chunk of lines.rest()) throw altered();
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("Z_");
}
