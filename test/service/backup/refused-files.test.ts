import { createHmac, hash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { type BackupHeader, BackupRefused, headerLine, trailer, trailerBytes } from "../../../src/backup/format.js";
import { readBackup } from "../../../src/backup/read-backup.js";
import { verifyBackup } from "../../../src/backup/restore-backup.js";
import { readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { altered as alter, inDatabase, relationsIn, rewritten as rewriteOf } from "../../support/backup/altered.js";
import { secretValue } from "../../support/leak-watch.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { backUp, inChunks, keysOf, restoreInto } from "./backed-up.js";

const altered = "This backup was cut short or altered. Nothing was restored.";
const keyOfNobody = randomBytes(61).toString("base64");

let service: TestService;
let empty: TestDatabase;
let bytes: Buffer;
beforeAll(async () => {
  service = await startOwnTestService();
  const { name } = await service.createFactory();
  await service.as(service.operatorToken).put(`/v1/factories/${name}/secrets/one`).send({ value: secretValue() });
  ({ bytes } = await backUp(service));
  empty = await createTestDatabase("empty");
});
afterAll(async () => {
  await empty.drop();
  await service.close();
});

async function read(file: Buffer, chunkBytes = 64 * 1024, keys = keysOf(service.key)): Promise<string> {
  try {
    await readBackup(inChunks(file, chunkBytes), keys, async (_table, rows) => {
      for await (const _chunk of rows);
    });
    return "taken";
  } catch (error) {
    if (error instanceof BackupRefused) return "refused";
    throw error;
  }
}

/** Reads so many files, a hundred at a time. @returns the numbers of those that were taken */
async function takenOf(count: number, fileAt: (number: number) => Buffer): Promise<number[]> {
  const taken: number[] = [];
  for (let first = 0; first < count; first += 100) {
    const numbers = Array.from({ length: Math.min(100, count - first) }, (_, n) => first + n);
    const outcomes = await Promise.all(numbers.map((number) => read(fileAt(number))));
    taken.push(...numbers.filter((_, n) => outcomes[n] === "taken"));
  }
  return taken;
}

/** The backup with another first line or other rows, by one who holds the key. */
const rewritten = (change: Parameters<typeof rewriteOf>[2]): Buffer => rewriteOf(bytes, service.key, change);

const restore = (url: string, file: Buffer) => restoreInto(url, { bytes: file, key: service.key });

const isEmpty = async (url = empty.url): Promise<boolean> => (await relationsIn(url)).length === 0;

describe("a backup", () => {
  it("is taken as it is, however its bytes come", async () => {
    for (const size of [1, 7, trailerBytes - 1, trailerBytes, trailerBytes + 1, 4096, bytes.length])
      expect(await read(bytes, size)).toBe("taken");
    expect(await read(rewritten({}))).toBe("taken");
  });

  it("is refused with any one byte altered", async () => {
    const flipped = (at: number) => {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at);
      return copy;
    };
    expect(bytes.length).toBeGreaterThan(3_000);
    expect(await takenOf(bytes.length, flipped)).toEqual([]);
  });

  it("is refused cut short to any length, and with a byte more", async () => {
    expect(await takenOf(bytes.length, (length) => bytes.subarray(0, length))).toEqual([]);
    expect(await read(Buffer.concat([bytes, Buffer.of(10)]))).toBe("refused");
  });

  it("is refused when its rows are not those of its header, though its HMAC fits", async () => {
    const oneLess = (text: string) => text.replace(/\n/, "");
    const oneMore = (text: string) => `x\n${text}`;
    const behind = (text: string) => `${text}x\n`;
    for (const rows of [oneLess, oneMore, behind, () => ""]) expect(await read(rewritten({ rows }))).toBe("refused");
  });
});

describe("a backup by somebody without the key-encryption key is refused", () => {
  // All of them were made by the same installation, with the same key-encryption key.
  let other: Buffer;
  beforeAll(async () => {
    await service.createFactory();
    ({ bytes: other } = await backUp(service));
  });
  const firstLine = (of: Buffer): Buffer => of.subarray(0, of.indexOf(10) + 1);
  const rowsOf = (of: Buffer): Buffer => of.subarray(of.indexOf(10) + 1, -trailerBytes);
  const endOf = (of: Buffer): Buffer => of.subarray(-trailerBytes);
  const sealedBy = (sum: (content: Buffer) => string): Buffer => {
    const content = bytes.subarray(0, -trailerBytes);
    return Buffer.concat([content, Buffer.from(sum(content))]);
  };
  const withKey = (change: (key: BackupHeader["key"]) => unknown): Buffer => {
    const header: BackupHeader = JSON.parse(firstLine(bytes).toString());
    change(header.key);
    return Buffer.concat([Buffer.from(headerLine(header)), rowsOf(bytes), endOf(bytes)]);
  };
  const keyOf = (of: Buffer): BackupHeader["key"] => JSON.parse(firstLine(of).toString()).key;

  it.each<[string, () => Buffer]>([
    ["with the rows of another one", () => Buffer.concat([firstLine(bytes), rowsOf(other), endOf(bytes)])],
    ["with the first line of another one", () => Buffer.concat([firstLine(other), rowsOf(bytes), endOf(bytes)])],
    ["with the HMAC of another one", () => Buffer.concat([firstLine(bytes), rowsOf(bytes), endOf(other)])],
    ["with the key of another one", () => withKey((key) => Object.assign(key, keyOf(other)))],
    ["behind another one", () => Buffer.concat([other, bytes])],
    ["with a SHA-256 in place of the HMAC", () => sealedBy((content) => `sha256:${hash("sha256", content)}\n`)],
    ["with a SHA-256 that passes for the HMAC", () => sealedBy((content) => trailer(hash("sha256", content)))],
    [
      "with an HMAC under a key that all know",
      () => sealedBy((content) => trailer(createHmac("sha256", Buffer.alloc(32)).update(content).digest("hex"))),
    ],
    ["without its HMAC", () => bytes.subarray(0, -trailerBytes)],
    ["without a key", () => withKey((key) => Object.assign(key, { wrapped: "" }))],
    ["with a key of its own making", () => withKey((key) => Object.assign(key, { wrapped: keyOfNobody }))],
  ])("%s", async (_what, file) => {
    await expect(verifyBackup(() => inChunks(file()), keysOf(service.key), [])).rejects.toThrow(altered);
  });

  it("with the wrapped key of a factory in the place of its own", async () => {
    const { rows } = await service.database.pool.query<{ id: string; wrapped: Buffer }>(
      "SELECT id, wrapped FROM data_keys",
    );
    for (const { id, wrapped } of rows) {
      const file = withKey((key) => Object.assign(key, { id, wrapped: wrapped.toString("base64") }));
      expect(await read(file)).toBe("refused");
    }
    expect(rows.length).toBeGreaterThan(1);
  });
});

describe("the key-encryption key of a backup", () => {
  const another = randomBytes(32).toString("base64");

  it("may be any that is held", async () => {
    expect(await read(bytes, 4096, keysOf(another, service.key))).toBe("taken");
  });

  it("is named when it is missing, by the check of a file and by a backup", async () => {
    const [own] = keysOf(service.key);
    const sentence = `needs the key-encryption key ${own?.id}, and it was not given`;
    for (const keys of [[], keysOf(another)])
      await expect(verifyBackup(() => inChunks(bytes), keys, [])).rejects.toThrow(sentence);
    await expect(backUp({ databaseUrl: service.databaseUrl, key: another })).rejects.toThrow(sentence);
  });
});

it.each(["\u001b[2J", "one\u0007", "a\nb", "\u009b31m", "\u202egpj"])(
  "the text %j, which leads a terminal, is refused in every member of the first line",
  async (text) => {
    const puts: ((header: BackupHeader) => unknown)[] = [
      ({ keys }) => keys.push(text),
      ({ key }) => Object.assign(key, { keyEncryptionKeyId: text }),
      ({ migrations: [one] }) => Object.assign(one ?? {}, { name: text }),
      (header) => Object.assign(header, { postgres: text }),
      ({ tables: [one] }) => Object.assign(one ?? {}, { name: text }),
      ({ tables: [one] }) => one?.columns.push(text),
      ({ sequences: [one] }) => Object.assign(one ?? {}, { name: text }),
    ];
    for (const put of puts) {
      const header: BackupHeader = JSON.parse(bytes.subarray(0, bytes.indexOf(10)).toString());
      put(header);
      const file = Buffer.concat([Buffer.from(headerLine(header)), bytes.subarray(bytes.indexOf(10) + 1)]);
      await expect(verifyBackup(() => inChunks(file), keysOf(service.key), [])).rejects.toThrow(altered);
    }
  },
);

it("the check of a backup takes the migrations of an older release", async () => {
  const migrations = await readMigrations(migrationsDirectory);
  for (let count = 1; count <= migrations.length; count += 1) {
    const file = alter(bytes, service.key, ({ header }) => header.migrations.splice(count));
    await verifyBackup(() => inChunks(file), keysOf(service.key), migrations);
  }
});

describe("a restore", () => {
  const at = (index: number) => {
    const copy = Buffer.from(bytes);
    copy.writeUInt8(copy.readUInt8(index) ^ 4, index);
    return copy;
  };
  const later = (text: string) => text.replace('"20261124000000_init"', '"20990101000000_later"');
  const otherSum = (text: string) => text.replace(/("checksum":")[0-9a-f]{4}/, "$1ffff");
  it.each<[string, () => Buffer, string]>([
    ["altered in its first line", () => at(40), altered],
    ["altered in its rows", () => at(bytes.indexOf(10) + 500), altered],
    ["altered in its last byte", () => at(bytes.length - 1), altered],
    ["cut short", () => bytes.subarray(0, -500), altered],
    ["empty", () => Buffer.alloc(0), "not a backup"],
    ["something else", () => Buffer.from('{"type":"key"}\n'), "not a backup"],
    [
      "of a newer format",
      () => rewritten({ header: (text) => text.replace('"version":1', '"version":2') }),
      "format 2",
    ],
    [
      "with members that are not known",
      () => rewritten({ header: (text) => text.replace("{", '{"more":1,') }),
      altered,
    ],
    ["of a newer release", () => rewritten({ header: later }), "20990101000000_later"],
    ["of another release", () => rewritten({ header: otherSum }), "is another than"],
  ])("of a file %s writes nothing and says why", async (_what, file, sentence) => {
    await expect(restore(empty.url, file())).rejects.toThrow(sentence);
    await expect(restore(empty.url, file())).rejects.toThrow(BackupRefused);
    expect(await isEmpty()).toBe(true);
  });

  it("that fails in the middle leaves nothing", async () => {
    const broken = rewritten({
      rows: (text) => text.replace(/(\n[0-9a-f-]{36}\t[0-9a-f-]{36}\t)one\t/, "$1no name\t"),
    });
    await expect(restore(empty.url, broken)).rejects.toThrow("secrets_name_check");
    expect(await isEmpty()).toBe(true);
  });

  it("into a database that is in use is refused, and changes nothing there", async () => {
    const before = await service.database.pool.query("SELECT count(*)::int AS n FROM audit_events");
    await expect(restore(service.databaseUrl, bytes)).rejects.toThrow("The database is not empty");
    expect((await service.database.pool.query("SELECT count(*)::int AS n FROM audit_events")).rows).toEqual(
      before.rows,
    );
  });

  it("into one whose encoding the server refuses is refused with the same sentence, and leaves it empty", async () => {
    const ascii = await createTestDatabase("empty", "SQL_ASCII");
    await expect(restore(ascii.url, bytes)).rejects.toThrow(
      "The database has the encoding SQL_ASCII, and the service needs UTF8.",
    );
    expect(await isEmpty(ascii.url)).toBe(true);
    await ascii.drop();
  });

  it.each([
    ["a table", "CREATE TABLE foo (a int)"],
    ["a view", "CREATE VIEW foo AS SELECT 1 AS a"],
    ["a sequence", "CREATE SEQUENCE foo"],
  ])("into one that holds %s of somebody else is refused, and changes nothing there", async (_what, make) => {
    const database = await createTestDatabase("empty");
    await inDatabase(database.url, make);
    await expect(restore(database.url, bytes)).rejects.toThrow(
      "The database is not empty: it holds foo, which does not belong to this service. Nothing was changed.",
    );
    expect(await relationsIn(database.url)).toEqual(["foo"]);
    await database.drop();
  });

  it("into one that holds only what an extension has put there goes through", async () => {
    const database = await createTestDatabase("empty");
    const asAdmin = new URL(inject("testServer").adminUrl);
    asAdmin.pathname = new URL(database.url).pathname;
    await inDatabase(asAdmin.href, "CREATE EXTENSION pg_buffercache SCHEMA public");
    expect(await relationsIn(database.url)).toContain("pg_buffercache");
    expect((await restore(database.url, bytes)).rows).toBeGreaterThan(5);
    await database.drop();
  });

  it("into an empty one with a later schema than the backup's is refused", async () => {
    const database = await createTestDatabase();
    await inDatabase(
      database.url,
      "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('1', 'x', '20990101000000_later', now())",
    );
    await expect(restore(database.url, bytes)).rejects.toThrow("20990101000000_later, which is newer");
    await database.drop();
  });

  it("into an empty one that has the schema goes through, once", async () => {
    const database = await createTestDatabase();
    expect((await restore(database.url, bytes)).rows).toBeGreaterThan(5);
    await expect(restore(database.url, bytes)).rejects.toThrow("not empty");
    await database.drop();
  });
});
