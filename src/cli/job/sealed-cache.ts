import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../client/change-files.js";
import { parseJson, textAt } from "../client/json-value.js";

/** A user and password, and until when they need not be asked for again. */
export type CachedLogin = { username: string; password: string; refreshAfter: string };

/** Whose login it is: of this job, from this service, for this registry. */
export type CacheKey = { identity: string; service: string; factory: string; registry: string };

const nonceBytes = 12;
const tagBytes = 16;
const suffix = ".sealed";

/**
 * The login that an earlier call left, while it is fresh. Sealed with what only this job knows: on a machine that runs
 * one job after the other, the next one can read none of it.
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

/** Keeps a login, and removes those whose time is over. */
export async function writeCached(directory: string, key: CacheKey, login: CachedLogin, now: Date): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await removeStale(directory, now);
  const path = fileOf(directory, key);
  await replaceFile(path, seal(JSON.stringify(login), key).toString("base64"));
  // Who tidies up reads no file: its time tells when it is over.
  const until = new Date(login.refreshAfter);
  await utimes(path, until, until);
}

export async function removeCached(directory: string, key: CacheKey): Promise<void> {
  await rm(fileOf(directory, key), { force: true });
}

async function removeStale(directory: string, now: Date): Promise<void> {
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

/** RFC 5869, of the whole key: what is sealed for one registry opens for no other. */
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
