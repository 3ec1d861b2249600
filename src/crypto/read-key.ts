import { randomBytes, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { link, open, readFile, rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { keyBytes } from "./envelope.js";
import { type KeyEncryptionKey, localKeyEncryptionKey } from "./key-encryption-key.js";

/** The given key cannot be used. The message is for the operator and never shows the key. */
export class KeyFormatError extends Error {
  override readonly name = "KeyFormatError";
}

/** True for the text of a key-encryption key: 32 bytes in base64, as `openssl rand -base64 32` prints them. */
export function isKey(text: string): boolean {
  return bytesOfKey(text) !== undefined;
}

/**
 * Reads a key-encryption key from text: 32 bytes in base64, as `openssl rand -base64 32` prints them.
 * @param source how the database remembers where it came from
 * @param place what a person calls it, for the error: a setting or a path
 * @throws KeyFormatError when it is anything else
 */
export function parseKey(source: string, place: string, text: string): KeyEncryptionKey {
  const bytes = bytesOfKey(text);
  if (bytes === undefined) throw new KeyFormatError(`${place} does not hold a key, which is 32 bytes in base64.`);
  return localKeyEncryptionKey(source, bytes);
}

function bytesOfKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  const bytes = Buffer.from(trimmed, "base64");
  // Buffer.from skips what is not base64; only a text that encodes back to itself was whole.
  return bytes.length === keyBytes && bytes.toString("base64") === trimmed ? bytes : undefined;
}

/** The key of an embedded installation, if its file is there. @throws KeyFormatError when that is not a key */
export async function readKeyFileIfPresent(path: string): Promise<KeyEncryptionKey | undefined> {
  const existing = await readIfPresent(path);
  return existing === undefined ? undefined : parseKey(`file:${path}`, path, existing);
}

/**
 * The key of an embedded installation: read from `path`, or made there (mode 0600) when `mayCreate`.
 * It is written whole to a file beside and then linked, so that a crash never leaves half a key.
 * @throws KeyFormatError when the file is missing and may not be made, or is not a key
 */
export async function readOrCreateKeyFile(path: string, mayCreate: boolean): Promise<KeyEncryptionKey> {
  const existing = await readKeyFileIfPresent(path);
  if (existing !== undefined) return existing;
  if (!mayCreate) {
    throw new KeyFormatError(`The key file ${path} is missing; nothing opens without it.`);
  }
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.writeFile(`${randomBytes(keyBytes).toString("base64")}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await link(draft, path).catch((error: unknown) => {
    if (!hasCode(error, "EEXIST")) throw error;
  });
  await rm(draft);
  return parseKey(`file:${path}`, path, await readFile(path, "utf8"));
}

/**
 * A key in a file that the operator has made.
 * @throws KeyFormatError when it cannot be read, or is not a key
 */
export async function readKeyFile(source: string, path: string): Promise<KeyEncryptionKey> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) throw new KeyFormatError(`There is no key file ${resolve(path)}.`);
    const isForbidden = hasCode(error, "EACCES");
    throw new KeyFormatError(
      `The key file ${path} cannot be read${isForbidden ? " by the user that this runs as: make it that user's." : "."}`,
    );
  });
  return parseKey(source, path, text);
}

/** True when more than its owner may read the file. Always false on Windows, which has no such modes. */
export async function isReadableByOthers(path: string): Promise<boolean> {
  return process.platform !== "win32" && ((await stat(path)).mode & 0o044) !== 0;
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
