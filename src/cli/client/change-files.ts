import { randomBytes } from "node:crypto";
import { chown, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "./command-failure.js";

/** What a process that was killed left behind is nobody's: a file is written in milliseconds. */
const leftBehindMs = 60_000;

/**
 * Puts a file in place of another (or of none) in one step: whoever reads sees the old one or the new one, whole, also
 * when this process is killed. Readable and writable by its owner alone, who stays the same.
 * @param mayReplace - asked last; on `false` the old file stays, and so is the result
 */
export async function replaceFile(
  path: string,
  text: string | Uint8Array,
  mayReplace: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<boolean> {
  await removeLeftBehind(path);
  // In the same folder, because a rename is one step only within a file system.
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

// Only root can give a file away, and only root writes into other people's folders as a rule (sudo).
async function keepOwner(old: string, next: string): Promise<void> {
  const owner = await stat(old).catch(() => undefined);
  if (owner && process.getuid?.() === 0 && owner.uid !== 0) await chown(next, owner.uid, owner.gid);
}

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

/** A holder needs milliseconds: it reads one file and writes another. Who holds it longer was killed. */
const staleAfterMs = 10_000;
const giveUpAfterMs = 30_000;

/** `isStillMine` says whether nobody has taken the lock for that of a killed process meanwhile. */
type Lock = { isStillMine(): Promise<boolean> };

/**
 * Does `work` while no other `factory-secrets` on this file system does, which a lock file sees to. Docker itself knows
 * of no lock.
 * @throws CommandFailure when the lock is never free
 */
export async function holdLock<Result>(path: string, work: (lock: Lock) => Promise<Result>): Promise<Result> {
  const mark = randomBytes(12).toString("hex");
  const until = Date.now() + giveUpAfterMs;
  while (!(await take(path, mark))) {
    if (Date.now() > until)
      throw new CommandFailure(
        exitCodes.failed,
        `Another factory-secrets holds ${path}. If none runs, remove that file.`,
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
    // On Windows a file that is just being removed is answered with EPERM.
    if (error instanceof Error && "code" in error && (error.code === "EEXIST" || error.code === "EPERM")) {
      if (error.code === "EEXIST" || process.platform === "win32") return false;
    }
    throw error;
  }
}

async function removeStale(path: string): Promise<void> {
  const [found, mark] = await Promise.all([stat(path).catch(() => undefined), readMark(path)]);
  if (!found || Date.now() - found.mtimeMs < staleAfterMs) return;
  // Somebody else may have done so since, and hold a new one.
  if ((await readMark(path)) === mark) await rm(path, { force: true });
}

const readMark = (path: string): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined);

/** Those of the last writes: one that was killed before its end leaves what an earlier one has written. */
const kept = 4;

/** The marks of what this program has written in one place, with one more. Each is without blanks. */
export function withMark(marks: string | undefined, mark: string): string {
  const earlier = marks?.split(" ").filter((one) => one !== mark) ?? [];
  return [...earlier, mark].slice(-kept).join(" ");
}

/** Whether this is the mark of something that this program has written there. */
export function hasMark(marks: string | undefined, mark: string | undefined): boolean {
  return marks !== undefined && mark !== undefined && marks.split(" ").includes(mark);
}
