import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keyEncryptionKeyId } from "../../../src/crypto/envelope.js";
import {
  isKey,
  isReadableByOthers,
  KeyFormatError,
  parseKey,
  readKeyFile,
  readOrCreateKeyFile,
} from "../../../src/crypto/read-key.js";

const bytes = Buffer.alloc(32, 7);
const text = bytes.toString("base64");

describe("a key as text", () => {
  test.each([text, `${text}\n`, ` ${text}\r\n`])("is read with the line end of a file around it", (given) => {
    expect(parseKey("env", "the key", given)).toMatchObject({ id: keyEncryptionKeyId(bytes), source: "env" });
  });

  test.each([
    ["nothing", ""],
    ["31 bytes", Buffer.alloc(31, 7).toString("base64")],
    ["33 bytes", Buffer.alloc(33, 7).toString("base64")],
    ["hex", bytes.toString("hex")],
    ["base64url", Buffer.alloc(32, 0xfb).toString("base64url")],
    ["base64 without its padding", text.replace("=", "")],
    ["a stray character in the middle", `${text.slice(0, 10)}!${text.slice(10)}`],
    ["a second line", `${text}\n${text}`],
    ["last bits that no 32 bytes have", `${text.slice(0, -2)}${text.at(-2) === "9" ? "8" : "9"}=`],
  ])("is refused when it is %s, and not quoted", (_what, given) => {
    const refusal = refusalOf(() => parseKey("env", "the key", given));
    expect(isKey(given)).toBe(false);
    expect(refusal).toBe("the key does not hold a key, which is 32 bytes in base64.");
  });
});

describe("a key file", () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "factory-secrets-key-"));
    path = join(directory, "key-encryption-key");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test("is made for its owner alone, whole, and read again", async () => {
    const made = await readOrCreateKeyFile(path, true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(["key-encryption-key"]);
    expect(parseKey(`file:${path}`, path, await readFile(path, "utf8")).id).toBe(made.id);
    expect((await readOrCreateKeyFile(path, true)).id).toBe(made.id);
  });

  test.skipIf(process.platform === "win32")("that others may read is noticed", async () => {
    await readOrCreateKeyFile(path, true);
    expect(await isReadableByOthers(path)).toBe(false);
    await chmod(path, 0o640);
    expect(await isReadableByOthers(path)).toBe(true);
  });

  test("is one and the same for all that make it at once", async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => readOrCreateKeyFile(path, true)));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect(await readdir(directory)).toEqual(["key-encryption-key"]);
  });

  test("of the operator's own that is not there, or no file, is told of in so many words", async () => {
    const read = (at: string) => readKeyFile(`file:${at}`, at);
    await expect(read(path)).rejects.toThrow(new KeyFormatError(`There is no key file ${path}.`));
    await expect(read(directory)).rejects.toThrow(new KeyFormatError(`The key file ${directory} cannot be read.`));
  });

  test("that is missing is not made anew where one was", async () => {
    await expect(readOrCreateKeyFile(path, false)).rejects.toThrow(
      new KeyFormatError(`The key file ${path} is missing; nothing opens without it.`),
    );
    expect(await readdir(directory)).toEqual([]);
  });

  test("that is damaged is refused and left as it is", async () => {
    const damaged = randomBytes(20).toString("base64");
    await writeFile(path, damaged);
    await expect(readOrCreateKeyFile(path, true)).rejects.toThrow(KeyFormatError);
    expect(await readFile(path, "utf8")).toBe(damaged);
  });
});

function refusalOf(read: () => unknown): string | undefined {
  try {
    read();
  } catch (error) {
    if (error instanceof KeyFormatError) return error.message;
    throw error;
  }
  return undefined;
}
