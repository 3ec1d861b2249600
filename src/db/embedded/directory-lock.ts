import { randomInt } from "node:crypto";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode } from "../../core/error-code.js";
import { DatabaseUnusable } from "../wait-for-database.js";
import { processIdentity } from "./process-identity.js";

export type DirectoryLock = { release(): Promise<void> };

type Holder = { pid: number; since: Date };

const attempts = 3;
const lockName = /^lock-(\d+)-([A-Za-z0-9-]+)$/;

/**
 * Takes the data directory for this process until it releases it or dies.
 *
 * Each process puts down a lock file that carries its own pid and start time in its name, and only then looks for others:
 * of two that start together at least one sees the other. A stale file names a process that will never run again, so
 * whoever deletes it cannot delete a lock that was taken meanwhile (with one shared name they could).
 * @throws {DatabaseUnusable} naming the process that holds it and since when.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const identity = await processIdentity(process.pid);
  if (identity === undefined) throw new Error("This process cannot find itself in the process table.");
  const own = join(directory, `lock-${process.pid}-${identity}`);
  for (let attempt = 1; ; attempt += 1) {
    if (!(await putDown(own))) throw heldBy(directory, { pid: process.pid, since: (await stat(own)).mtime });
    const holder = await findHolder(directory, own);
    if (holder === undefined) return { release: () => rm(own, { force: true }) };
    await rm(own, { force: true });
    if (attempt === attempts) throw heldBy(directory, holder);
    // Two that saw each other have both stepped back: unequal pauses let one of them win.
    await sleep(randomInt(20, 120));
  }
}

async function putDown(path: string): Promise<boolean> {
  try {
    await writeFile(path, "", { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === "EEXIST") return false;
    throw new DatabaseUnusable(
      `The data directory ${dirname(path)} cannot be written (${code}). Run this as the user who owns it, or set FACTORY_SECRETS_DATA_DIR to another directory.`,
      { cause: error },
    );
  }
}

async function findHolder(directory: string, own: string): Promise<Holder | undefined> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const [, pid, identity] = lockName.exec(name) ?? [];
    if (pid === undefined || path === own) continue;
    if ((await processIdentity(Number(pid))) !== identity) {
      await rm(path, { force: true });
      continue;
    }
    const file = await stat(path).catch(() => undefined);
    if (file !== undefined) return { pid: Number(pid), since: file.mtime };
  }
  return undefined;
}

function heldBy(directory: string, { pid, since }: Holder): DatabaseUnusable {
  return new DatabaseUnusable(
    `The data directory ${directory} is in use by process ${pid} since ${since.toISOString()}. Stop that one first, or set FACTORY_SECRETS_DATA_DIR to another directory.`,
  );
}
