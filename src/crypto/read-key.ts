import { randomBytes, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { link, open, readFile, rm } from "node:fs/promises";
import { keyBytes } from "./envelope.js";
import { type KeyEncryptionKey, localKeyEncryptionKey } from "./key-ring.js";

/** The given key cannot be used. The message is for the operator and never shows the key. */
export class KeyFormatError extends Error {
  override readonly name = "KeyFormatError";
}

/**
 * Reads a key-encryption key from text: 32 bytes in base64, as `openssl rand -base64 32` prints them.
 * @throws KeyFormatError when it is anything else
 */
export function parseKey(source: string, text: string): KeyEncryptionKey {
  const trimmed = text.trim();
  const bytes = Buffer.from(trimmed, "base64");
  // Buffer.from skips what is not base64; only a text that encodes back to itself was whole.
  if (bytes.length !== keyBytes || bytes.toString("base64") !== trimmed) {
    throw new KeyFormatError("The key must be 32 bytes in base64: openssl rand -base64 32");
  }
  return localKeyEncryptionKey(source, bytes);
}

/**
 * The key of an embedded installation: read from `path`, or made there (mode 0600) when `mayCreate`.
 * It is written whole to a file beside and then linked, so that a crash never leaves half a key.
 * @throws KeyFormatError when the file is missing and may not be made, or is not a key
 */
export async function readOrCreateKeyFile(path: string, mayCreate: boolean): Promise<KeyEncryptionKey> {
  const existing = await readIfPresent(path);
  if (existing !== undefined) return parseKey("file", existing);
  if (!mayCreate) {
    throw new KeyFormatError(
      `The key file ${path} is missing. Put it back from your backup; nothing opens without it.`,
    );
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
  return parseKey("file", await readFile(path, "utf8"));
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
