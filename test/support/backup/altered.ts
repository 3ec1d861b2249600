import { createHmac } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import pg from "pg";
import { type BackupHeader, endOfRows, headerLine, trailer, trailerBytes } from "../../../src/backup/format.js";
import { unwrapDataKey } from "../../../src/crypto/envelope.js";

/** A backup as anyone who alters one sees it. `parts`: the rows of each of the header's tables. */
export type Alterable = { header: BackupHeader; parts: string[] };

/** A backup with another first line or other rows, authenticated by anyone who holds the key-encryption key (base64). */
export function rewritten(
  bytes: Buffer,
  key: string,
  change: { header?: (text: string) => string; rows?: (text: string) => string },
): Buffer {
  const { header, rows } = textsOf(bytes);
  return written(change.header?.(header) ?? header, change.rows?.(rows) ?? rows, key);
}

/** A backup whose first line and parts were altered together, authenticated likewise. */
export function altered(bytes: Buffer, key: string, alter: (backup: Alterable) => unknown): Buffer {
  const { header, rows } = textsOf(bytes);
  const end = `${endOfRows}\n`;
  const parts = rows.split(/(?<=(?:^|\n)\\\.\n)/).map((part) => part.slice(0, -end.length));
  const backup: Alterable = { header: JSON.parse(header), parts };
  alter(backup);
  return written(headerLine(backup.header), backup.parts.map((part) => `${part}${end}`).join(""), key);
}

function textsOf(bytes: Buffer): { header: string; rows: string } {
  const at = bytes.indexOf("\n") + 1;
  const rows = gunzipSync(bytes.subarray(at, -trailerBytes)).toString("utf8");
  return { header: bytes.subarray(0, at).toString("utf8"), rows };
}

function written(header: string, rows: string, key: string): Buffer {
  const { installation, key: own }: BackupHeader = JSON.parse(header);
  const place = {
    factoryId: installation,
    dataKeyId: own.id,
    purpose: "backup",
    keyEncryptionKeyId: own.keyEncryptionKeyId,
  } as const;
  const hmacKey = unwrapDataKey(Buffer.from(key, "base64"), place, Buffer.from(own.wrapped, "base64"));
  const changed = Buffer.concat([Buffer.from(header), gzipSync(rows)]);
  return Buffer.concat([changed, Buffer.from(trailer(createHmac("sha256", hmacKey).update(changed).digest("hex")))]);
}

export async function inDatabase(url: string, sql: string): Promise<pg.QueryResult<{ name: string }>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client.query(sql).finally(() => client.end());
}

export async function relationsIn(url: string): Promise<string[]> {
  const { rows } = await inDatabase(
    url,
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace",
  );
  return rows.map(({ name }) => name);
}
