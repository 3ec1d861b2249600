import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../client/change-files.js";
import { parseJson, textAt } from "../client/json-value.js";

/** A user name and password, and when to request new ones. */
export type CachedLogin = { username: string; password: string; refreshAfter: string };

/** Identity, service, factory and registry that a cached login is for. */
export type CacheKey = { identity: string; service: string; factory: string; registry: string };

const nonceBytes = 12;
const tagBytes = 16;
const suffix = ".sealed";

/**
 * The cached login, while it is fresh. It is encrypted with the identity of this job: the next job on the same machine
 * cannot read it.
 */
export async function readCached(directory: string, key: CacheKey, now: Date): Promise<CachedLogin | undefined> {
  const sealed = await readFile(fileOf(directory, key)).catch(() => undefined);
  const login = sealed && parseJson(unseal(sealed, key) ?? "");
  const username = textAt(login, "username");
  const password = textAt(login, "password");
  const refreshAfter = textAt(login, "refreshAfter");
  if (username === undefined || password === undefined || refreshAfter === undefined) return undefined;
  return Date.parse(refreshAfter) > now.getTime() ? { username, password, refreshAfter } : undefined;
}

/** Caches a login, and removes expired ones. */
export async function writeCached(directory: string, key: CacheKey, login: CachedLogin, now: Date): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await removeExpired(directory, now);
  const path = fileOf(directory, key);
  await replaceFile(path, seal(JSON.stringify(login), key).toString("base64"));
  // The modification time is the end, so that expired files are found without their keys.
  const until = new Date(login.refreshAfter);
  await utimes(path, until, until);
}

export async function removeCached(directory: string, key: CacheKey): Promise<void> {
  await rm(fileOf(directory, key), { force: true });
}

async function removeExpired(directory: string, now: Date): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.endsWith(suffix)) continue;
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined);
    if (found && found.mtimeMs <= now.getTime()) await rm(path, { force: true });
  }
}

const textOf = ({ identity, service, factory, registry }: CacheKey): string =>
  JSON.stringify([identity, service, factory, registry]);

function fileOf(directory: string, key: CacheKey): string {
  return join(directory, `${createHash("sha256").update(textOf(key)).digest("hex")}${suffix}`);
}

/** RFC 5869, of the whole cache key: a login for one registry cannot be opened for another. */
function sealingKey(key: CacheKey): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", textOf(key), "", "factory-secrets cached registry login", 32));
}

function seal(text: string, key: CacheKey): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", sealingKey(key), nonce, { authTagLength: tagBytes });
  return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

function unseal(file: Buffer, key: CacheKey): string | undefined {
  const bytes = Buffer.from(file.toString("latin1"), "base64");
  if (bytes.length < nonceBytes + tagBytes) return undefined;
  const nonce = bytes.subarray(0, nonceBytes);
  const decipher = createDecipheriv("aes-256-gcm", sealingKey(key), nonce, { authTagLength: tagBytes });
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}
