import { randomBytes } from "node:crypto";
import { chown, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

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
