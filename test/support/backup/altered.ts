import { hash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import pg from "pg";
import { type BackupHeader, endOfRows, headerLine, trailer, trailerBytes } from "../../../src/backup/format.js";

/** A backup as whoever alters one sees it. `parts`: the rows of each of the header's tables. */
export type Alterable = { header: BackupHeader; parts: string[] };

/** A backup with another first line or other rows, and a SHA-256 that fits. */
export function rewritten(
  bytes: Buffer,
  change: { header?: (text: string) => string; rows?: (text: string) => string },
): Buffer {
  const { header, rows } = textsOf(bytes);
  return written(change.header?.(header) ?? header, change.rows?.(rows) ?? rows);
}

/** A backup whose first line and parts were altered together, with a SHA-256 that fits. */
export function altered(bytes: Buffer, alter: (backup: Alterable) => unknown): Buffer {
  const { header, rows } = textsOf(bytes);
  const end = `${endOfRows}\n`;
  const parts = rows.split(/(?<=(?:^|\n)\\\.\n)/).map((part) => part.slice(0, -end.length));
  const backup: Alterable = { header: JSON.parse(header), parts };
  alter(backup);
  return written(headerLine(backup.header), backup.parts.map((part) => `${part}${end}`).join(""));
}

function textsOf(bytes: Buffer): { header: string; rows: string } {
  const at = bytes.indexOf("\n") + 1;
  const rows = gunzipSync(bytes.subarray(at, -trailerBytes)).toString("utf8");
  return { header: bytes.subarray(0, at).toString("utf8"), rows };
}

function written(header: string, rows: string): Buffer {
  const changed = Buffer.concat([Buffer.from(header), gzipSync(rows)]);
  return Buffer.concat([changed, Buffer.from(trailer(hash("sha256", changed)))]);
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
