import { randomBytes } from "node:crypto";
import { chown, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "./command-failure.js";

/** A temporary file of this age was left by a killed process: writing takes milliseconds. */
const leftBehindMs = 60_000;

/**
 * Replaces or creates a file atomically: a reader sees the whole old or the whole new one, also when this process is
 * killed. Mode 0600; the owner stays.
 * @param mayReplace - called just before; with `false` the old file stays, and the result is `false`
 */
export async function replaceFile(
  path: string,
  text: string | Uint8Array,
  mayReplace: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<boolean> {
  await removeLeftBehind(path);
  // In the same folder: a rename is atomic only within a file system.
  const next = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(next, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await keepOwner(path, next);
    if (!(await mayReplace())) return false;
    await rename(next, path);
    return true;
  } finally {
    await rm(next, { force: true });
  }
}

async function removeLeftBehind(path: string): Promise<void> {
  const prefix = `.${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{12}$/.test(name.slice(prefix.length))) continue;
    const found = await stat(join(dirname(path), name)).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > leftBehindMs) await rm(join(dirname(path), name), { force: true });
  }
}

// Only root can change the owner; with sudo root writes into the user's folder.
async function keepOwner(old: string, next: string): Promise<void> {
  const owner = await stat(old).catch(() => undefined);
  if (owner && process.getuid?.() === 0 && owner.uid !== 0) await chown(next, owner.uid, owner.gid);
}

/**
 * Writes a new file with mode 0600. An incomplete one is removed.
 * @throws CommandFailure when it exists or cannot be written
 */
export async function writeNewFile(path: string, pieces: AsyncIterable<string>): Promise<void> {
  const absolute = resolve(path);
  const file = await open(absolute, "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
    const why =
      error.code === "EEXIST"
        ? "exists. It was not overwritten; name another file."
        : `cannot be written (${systemReason(error)}).`;
    throw new CommandFailure(exitCodes.failed, `${absolute} ${why}`);
  });
  try {
    await pipeline(Readable.from(pieces), file.createWriteStream());
  } catch (error) {
    await rm(absolute, { force: true });
    throw error;
  }
}

/** A lock is held for milliseconds; an older one belongs to a killed process. */
const staleAfterMs = 10_000;
const giveUpAfterMs = 30_000;

/** `isStillMine`: no other process has taken the lock for a stale one in the meantime. */
type Lock = { isStillMine(): Promise<boolean> };

/**
 * Does `work` under a lock file that all `factory-secrets` on this file system respect. Docker itself uses no lock.
 * @throws CommandFailure when the lock stays taken for 30 s
 */
export async function holdLock<Result>(path: string, work: (lock: Lock) => Promise<Result>): Promise<Result> {
  const mark = randomBytes(12).toString("hex");
  const until = Date.now() + giveUpAfterMs;
  while (!(await take(path, mark))) {
    if (Date.now() > until)
      throw new CommandFailure(
        exitCodes.failed,
        `Another factory-secrets holds the lock ${path}. If none is running, remove that file.`,
      );
    await removeStale(path);
    await sleep(10 + Math.random() * 40);
  }
  const isStillMine = async (): Promise<boolean> => (await readMark(path)) === mark;
  try {
    return await work({ isStillMine });
  } finally {
    if (await isStillMine()) await rm(path, { force: true });
  }
}

async function take(path: string, mark: string): Promise<boolean> {
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(mark).finally(() => file.close());
    return true;
  } catch (error) {
    // Windows gives EPERM for a file that is being removed.
    if (error instanceof Error && "code" in error && (error.code === "EEXIST" || error.code === "EPERM")) {
      if (error.code === "EEXIST" || process.platform === "win32") return false;
    }
    throw error;
  }
}

async function removeStale(path: string): Promise<void> {
  const [found, mark] = await Promise.all([stat(path).catch(() => undefined), readMark(path)]);
  if (!found || Date.now() - found.mtimeMs < staleAfterMs) return;
  // Another process may have removed it since and taken a new one.
  if ((await readMark(path)) === mark) await rm(path, { force: true });
}

const readMark = (path: string): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined);

/** Marks of this many writes are kept: a killed write leaves what an earlier one wrote. */
const maxMarks = 4;

/** Adds a mark to those of what this program wrote in one place. A mark contains no blanks. */
export function withMark(marks: string | undefined, mark: string): string {
  const earlier = marks?.split(" ").filter((one) => one !== mark) ?? [];
  return [...earlier, mark].slice(-maxMarks).join(" ");
}

/** Whether one of the marks is this one: this program wrote it. */
export function hasMark(marks: string | undefined, mark: string | undefined): boolean {
  return marks !== undefined && mark !== undefined && marks.split(" ").includes(mark);
}
