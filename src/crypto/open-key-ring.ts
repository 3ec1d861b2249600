import { timingSafeEqual } from "node:crypto";
import type { PrismaClient } from "../db/database.js";
import { type KeyEncryptionKey, KeyRing } from "./key-ring.js";
import { KeyFormatError, parseKey, readOrCreateKeyFile } from "./read-key.js";
import { readKnownKeys, recordFirstKey } from "./store.js";

/** Where the key comes from: the setting, or a file that an embedded installation makes for itself. */
export type KeySource = { kind: "setting"; text: string | undefined } | { kind: "file"; path: string };

/**
 * Finds the key-encryption key and checks that it is the one this database was sealed with.
 * @throws KeyFormatError with a sentence that names the key id that was expected
 */
export async function openKeyRing(prisma: PrismaClient, source: KeySource): Promise<KeyRing> {
  const before = await readKnownKeys(prisma);
  const key = await readKey(
    source,
    before.map(({ id }) => id),
  );
  if (before.length === 0) await recordFirstKey(prisma, key);
  const active = (await readKnownKeys(prisma)).find(({ state }) => state === "active");
  if (!active) throw new KeyFormatError("The database knows no active key-encryption key.");
  if (active.id !== key.id) {
    throw new KeyFormatError(
      `The key-encryption key does not fit this database: it needs ${active.id}, and ${key.id} was given. ${where(source)}`,
    );
  }
  if (!timingSafeEqual(active.checkValue, key.checkValue)) {
    throw new KeyFormatError(
      `The key-encryption key has the id ${active.id} that this database needs, but other bytes.`,
    );
  }
  return new KeyRing(key);
}

async function readKey(source: KeySource, expected: readonly string[]): Promise<KeyEncryptionKey> {
  const isNew = expected.length === 0;
  const needs = isNew ? "" : ` Put your copy back: this database needs the key ${expected.join(" or ")}.`;
  if (source.kind === "setting" && source.text === undefined) {
    throw new KeyFormatError(
      `FACTORY_SECRETS_KEY is not set.${needs || " Make one, and keep a copy: openssl rand -base64 32"}`,
    );
  }
  try {
    if (source.kind === "setting") return parseKey("env", "FACTORY_SECRETS_KEY", source.text ?? "");
    return await readOrCreateKeyFile(source.path, isNew);
  } catch (error) {
    if (!(error instanceof KeyFormatError)) throw error;
    // Only where nothing was sealed yet is a new key no loss.
    throw new KeyFormatError(`${error.message}${needs || " Make one: openssl rand -base64 32"}`);
  }
}

function where(source: KeySource): string {
  return source.kind === "file" ? `It was read from ${source.path}.` : "It was read from FACTORY_SECRETS_KEY.";
}
