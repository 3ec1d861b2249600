import { chmod, copyFile, open, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";

const maxBytes = 1024 * 1024;

export function postgresLogPath(dataDirectory: string): string {
  return join(dataDirectory, "postgres.log");
}

/** Opens the log for appending (mode 0600). Postgres inherits the descriptor: its account needs no way to the file. */
export async function openPostgresLog(dataDirectory: string): Promise<{ fd: number; close(): Promise<void> }> {
  const path = postgresLogPath(dataDirectory);
  const file = await open(path, "a", 0o600);
  await chmod(path, 0o600);
  return { fd: file.fd, close: () => file.close() };
}

/**
 * Keeps the log below 1 MiB, with the 1 MiB before it in `postgres.log.1`.
 * Postgres holds the file open for appending, so it is copied and emptied, not renamed; a line written in between is lost.
 */
export async function boundPostgresLog(dataDirectory: string): Promise<void> {
  const path = postgresLogPath(dataDirectory);
  const size = await stat(path).then(
    (file) => file.size,
    () => 0,
  );
  if (size <= maxBytes) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}

/** The last lines of the log, for the message of a failed start. */
export async function tailPostgresLog(dataDirectory: string, lines = 5): Promise<string> {
  const text = await readFile(postgresLogPath(dataDirectory), "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
