import { randomBytes } from "node:crypto";
import { chown, mkdir, open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorCode } from "../core/error-code.js";
import { DatabaseUnusable } from "./wait-for-database.js";

const writableByEveryone = 0o002;

/**
 * Makes the data directory (mode 0700) or accepts one that exists, and gives back its absolute path without links.
 * The mode of an existing directory is left alone: what lies in it is 0600.
 * @throws {DatabaseUnusable} when it cannot be made, or anyone on the machine could replace the files in it.
 */
export async function prepareDataDirectory(directory: string): Promise<string> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    const reason = errorCode(error) === "EEXIST" ? "it is a file" : errorCode(error);
    throw new DatabaseUnusable(
      `The data directory ${directory} cannot be made (${reason}). Set FACTORY_SECRETS_DATA_DIR to a directory that this user may write.`,
      { cause: error },
    );
  }
  const { mode } = await stat(directory);
  if (process.platform !== "win32" && (mode & writableByEveryone) !== 0) {
    throw new DatabaseUnusable(
      `The data directory ${directory} may be written by everyone on this machine, who could replace the key in it. Run: chmod 700 ${directory}`,
    );
  }
  return realpath(directory);
}

/**
 * Writes a file (mode 0600) that is either the old one or the whole new one, also after a power cut.
 * Root gives it to the owner of its directory, so that the service can later run as that user.
 */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const directory = dirname(path);
  const draft = join(directory, `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    if (process.geteuid?.() === 0) {
      const { uid, gid } = await stat(directory);
      await chown(draft, uid, gid);
    }
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * The text of a file of the data directory, `undefined` when there is none.
 * @throws {DatabaseUnusable} when it belongs to another user.
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT") return undefined;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    throw new DatabaseUnusable(`${path} belongs to another user. Run this as the user who runs the service.`, {
      cause: error,
    });
  }
}
