import { randomBytes } from "node:crypto";
import { open, readFile, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailure, exitCodes } from "./command-failure.js";

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
