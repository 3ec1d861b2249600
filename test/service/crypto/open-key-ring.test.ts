import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keyEncryptionKeyId } from "../../../src/crypto/envelope.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { KeyFormatError } from "../../../src/crypto/read-key.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";

let testDatabase: TestDatabase;
let database: Database;
beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 10, onError: () => undefined });
});
afterEach(async () => {
  await database.close();
  await testDatabase.drop();
});

const newKey = () => {
  const bytes = randomBytes(32);
  return { text: bytes.toString("base64"), id: keyEncryptionKeyId(bytes) };
};
const open = (text: string | undefined) => openKeyRing(database.prisma, { kind: "setting", text });
const refusal = (message: string) => new KeyFormatError(message);

describe("a key from the settings", () => {
  test("is recorded by the first start and taken by later ones", async () => {
    const key = newKey();
    expect((await (await open(key.text)).active()).id).toBe(key.id);
    expect((await (await open(`${key.text}\n`)).active()).id).toBe(key.id);
    const { rows } = await database.pool.query("SELECT id, source, state FROM key_encryption_keys");
    expect(rows).toEqual([{ id: key.id, source: "env:FACTORY_SECRETS_KEY", state: "active" }]);
  });

  test("that is missing is asked for, with the command that makes one", async () => {
    await expect(open(undefined)).rejects.toThrow(
      refusal("FACTORY_SECRETS_KEY is not set. Make one, and keep a copy: openssl rand -base64 32"),
    );
  });

  test("that is missing is asked for by its id when the database knows it", async () => {
    const key = newKey();
    await open(key.text);
    await expect(open(undefined)).rejects.toThrow(
      refusal(`FACTORY_SECRETS_KEY is not set. Put your copy back: this database needs the key ${key.id}.`),
    );
  });

  test("that cannot be read is refused with the id that is needed", async () => {
    const key = newKey();
    await open(key.text);
    await expect(open("not base64")).rejects.toThrow(
      refusal(
        `FACTORY_SECRETS_KEY does not hold a key, which is 32 bytes in base64. Put your copy back: this database needs the key ${key.id}.`,
      ),
    );
  });

  test("that cannot be read is to be made anew only where nothing was sealed", async () => {
    await expect(open("not base64")).rejects.toThrow(
      refusal(
        "FACTORY_SECRETS_KEY does not hold a key, which is 32 bytes in base64. Make one: openssl rand -base64 32",
      ),
    );
  });

  test("that is another one is refused with both ids, and not recorded", async () => {
    const [key, other] = [newKey(), newKey()];
    await open(key.text);
    await expect(open(other.text)).rejects.toThrow(
      refusal(
        `The key-encryption key does not fit this database: it needs ${key.id}, and ${other.id} was given. It was read from FACTORY_SECRETS_KEY.`,
      ),
    );
    const { rows } = await database.pool.query("SELECT id FROM key_encryption_keys");
    expect(rows).toEqual([{ id: key.id }]);
  });

  test("with the right id and other bytes is refused", async () => {
    const key = newKey();
    await database.pool.query(
      "INSERT INTO key_encryption_keys (id, source, state, check_value) VALUES ($1, 'env', 'active', $2)",
      [key.id, randomBytes(32)],
    );
    await expect(open(key.text)).rejects.toThrow(
      refusal(`The key-encryption key has the id ${key.id} that this database needs, but other bytes.`),
    );
  });

  test("is one for all replicas that start together on an empty database, each with its own", async () => {
    const keys = Array.from({ length: 8 }, newKey);
    const outcomes = await Promise.allSettled(keys.map(({ text }) => open(text)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const { rows } = await database.pool.query("SELECT id FROM key_encryption_keys");
    expect(rows).toHaveLength(1);
  });

  test("is refused when another replica is just recording its own", async () => {
    const [key, first] = [newKey(), newKey()];
    const replica = await database.pool.connect();
    await replica.query("BEGIN");
    await replica.query(
      "INSERT INTO key_encryption_keys (id, source, state, check_value) VALUES ($1, 'env', 'active', $2)",
      [first.id, randomBytes(32)],
    );
    const opening = open(key.text).catch((error: unknown) => error);
    const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    await expect.poll(async () => (await database.pool.query(waiting)).rowCount).toBe(1);
    await replica.query("COMMIT");
    replica.release();
    expect(await opening).toEqual(
      refusal(
        `The key-encryption key does not fit this database: it needs ${first.id}, and ${key.id} was given. It was read from FACTORY_SECRETS_KEY.`,
      ),
    );
  });
});

describe("a key file of an embedded installation", () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "factory-secrets-key-"));
    path = join(directory, `key-${randomUUID()}`);
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));
  const openFile = () => openKeyRing(database.prisma, { kind: "file", path });

  test("is made by the first start and read by later ones", async () => {
    const active = await (await openFile()).active();
    expect(active.source).toBe(`file:${path}`);
    expect((await (await openFile()).active()).id).toBe(active.id);
  });

  test("that is gone is not replaced: the refusal names the file and the id", async () => {
    const active = await (await openFile()).active();
    await rm(path);
    await expect(openFile()).rejects.toThrow(
      refusal(
        `The key file ${path} is missing; nothing opens without it. Put your copy back: this database needs the key ${active.id}.`,
      ),
    );
  });
});
