import { z } from "zod";
import { hasNoControls } from "../http/contract.js";

// A backup file, as docs/backup-format.md describes it: a line of JSON that says what is in it, the rows of all tables
// in gzip, and a line with the HMAC-SHA256 of everything before it.

/** Raised when a file of the new kind could not be read by a release that knows the old kind only. */
export const formatVersion = 1;

const formatName = "factory-secrets-backup";

/** Commands print what stands in a file of anybody's: nothing of it leads the terminal. */
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

/** More than any header needs: whoever names the wrong file waits for no line end through gigabytes. */
export const maxHeaderBytes = 1024 * 1024;

const trailerPrefix = "hmac-sha256:";
export const trailerBytes = trailerPrefix.length + 64 + 1;

/** What stands behind the rows of each part, as in a file of `COPY`. */
export const endOfRows = "\\.";

/** A backup cannot be made, or a file is none that can be restored. The message is a sentence for the operator. */
export class BackupRefused extends Error {
  override readonly name = "BackupRefused";
}

export const headerLine = (header: BackupHeader): string => `${JSON.stringify(header)}\n`;

export const trailer = (hmac: string): string => `${trailerPrefix}${hmac}\n`;

/** @throws BackupRefused when it is no header, or one of a newer release */
export function readHeader(line: string): BackupHeader {
  const json = jsonOf(line);
  const any = AnyHeader.safeParse(json);
  if (!any.success && line.startsWith(beginning)) throw alteredBackup();
  if (!any.success) throw new BackupRefused("This is no backup of factory-secrets.");
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
