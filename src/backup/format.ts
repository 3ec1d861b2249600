import { z } from "zod";
import { hasNoControls } from "../http/contract.js";

// A backup file, as docs/backup-format.md describes it: a line of JSON that says what is in it, the rows of all tables
// in gzip, and a line with the HMAC-SHA256 of everything before it.

/** Raised when a file of the new kind could not be read by a release that knows the old kind only. */
export const formatVersion = 1;

const formatName = "factory-secrets-backup";

/** Commands print what is in a file of anybody's: nothing of it leads the terminal. */
const Text = z.string().refine(hasNoControls);

const Table = z.strictObject({ name: Text, columns: z.array(Text).min(1), rows: z.int().min(0) });

export const BackupHeader = z.strictObject({
  format: z.literal(formatName),
  version: z.literal(formatVersion),
  madeAt: z.iso.datetime(),
  installation: z.uuid(),
  /** The version of the Postgres that it was made on. */
  postgres: Text,
  /** Ids of the key-encryption keys without which what is in it does not open. */
  keys: z.array(Text),
  /** What it is authenticated with, wrapped by a key-encryption key (`backup-key.ts`). */
  key: z.strictObject({ id: z.uuid(), keyEncryptionKeyId: Text, wrapped: z.base64() }),
  /** Those that were applied, in order, with their checksums as Prisma records them. */
  migrations: z.array(z.strictObject({ name: Text, checksum: Text })).min(1),
  sequences: z.array(z.strictObject({ name: Text, lastValue: z.string().regex(/^\d+$/), isCalled: z.boolean() })),
  /** In the order of the rows. A table may come in two parts. */
  tables: z.array(Table),
});
export type BackupHeader = z.output<typeof BackupHeader>;
export type BackupTable = z.output<typeof Table>;

/** How the first line of every version begins. */
const beginning = `{"format":"${formatName}",`;
/** These two stand in the first line of every version there will be. */
const AnyHeader = z.object({ format: z.literal(formatName), version: z.int() });

/** From which transaction on the events of a backup wait to be sealed. */
export const firstWaiting = 1;

/** More than any header needs: anyone who names the wrong file waits for no line end through gigabytes. */
export const maxHeaderBytes = 1024 * 1024;

const trailerPrefix = "hmac-sha256:";
export const trailerBytes = trailerPrefix.length + 64 + 1;

/** What follows the rows of each part, as in a file of `COPY`. */
export const endOfRows = "\\.";

/** A backup cannot be made, or a file is not one that can be restored. The message is a sentence for the operator. */
export class BackupRefused extends Error {
  override readonly name = "BackupRefused";
}

export const headerLine = (header: BackupHeader): string => `${JSON.stringify(header)}\n`;

export const trailer = (hmac: string): string => `${trailerPrefix}${hmac}\n`;

/** @throws BackupRefused when it is not a header, or one of a newer release */
export function readHeader(line: string): BackupHeader {
  const json = jsonOf(line);
  const any = AnyHeader.safeParse(json);
  if (!any.success && line.startsWith(beginning)) throw alteredBackup();
  if (!any.success) throw new BackupRefused("This is not a backup of factory-secrets.");
  if (any.data.version > formatVersion) {
    throw new BackupRefused(
      `This backup has the format ${any.data.version}, and this release reads none above ${formatVersion}. Restore it with the release that made it, or a newer one.`,
    );
  }
  const header = BackupHeader.safeParse(json);
  if (!header.success) throw alteredBackup();
  return header.data;
}

/** The one sentence for whatever is not exactly what `backup` wrote. */
export const alteredBackup = (): BackupRefused =>
  new BackupRefused("This backup was cut short or altered. Nothing was restored.");

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Tables that no backup holds, and why. Every other table of the service is in every backup. */
export const leftOut: ReadonlyMap<string, string> = new Map([
  ["_prisma_migrations", "a restore makes the schema by the migrations, which record themselves"],
  ["audit_sealer", "it counts transactions of this Postgres, which mean nothing in another"],
  ["rate_limits", "counts that are over in minutes"],
  ["replicas", "the processes that run on this database now"],
  ["withdrawals", "what replicas of this database are told; what was withdrawn is in the rows of the credentials"],
]);

const lineFeed = 10;

/** Bytes that come in chunks, taken by the line. */
export class LineCursor {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next lines, as they come; fewer when there are no more. */
  async *take(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (!(await this.#fill())) return;
      let end = 0;
      while (left > 0) {
        const at = this.#rest.indexOf(lineFeed, end);
        if (at < 0) {
          end = this.#rest.length;
          break;
        }
        end = at + 1;
        left -= 1;
      }
      const taken = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      yield taken;
    }
  }

  /** The next line, without its end. @returns `undefined` when no line has at most `maxBytes` */
  async line(maxBytes: number): Promise<string | undefined> {
    const parts: Buffer[] = [];
    let length = 0;
    while (length <= maxBytes && (await this.#fill())) {
      const at = this.#rest.indexOf(lineFeed);
      const end = at < 0 ? this.#rest.length : at;
      parts.push(this.#rest.subarray(0, end));
      length += end;
      this.#rest = this.#rest.subarray(at < 0 ? end : end + 1);
      if (at >= 0) return length <= maxBytes ? Buffer.concat(parts).toString("utf8") : undefined;
    }
    return undefined;
  }

  /** All that is left. */
  async *rest(): AsyncGenerator<Buffer> {
    while (await this.#fill()) {
      const taken = this.#rest;
      this.#rest = Buffer.alloc(0);
      yield taken;
    }
  }

  /** Lets go of the source, wherever it stands. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  /** @returns false at the end */
  async #fill(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done) return false;
      this.#rest = next.value;
    }
    return true;
  }
}
