import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { BackupRefused } from "../../../src/backup/format.js";
import { readBackup } from "../../../src/backup/read-backup.js";
import { inDatabase, relationsIn, rewritten as rewriteOf } from "../../support/backup/altered.js";
import { secretValue } from "../../support/leak-watch.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { backUp, inChunks, restoreInto } from "./backed-up.js";

let service: TestService;
let empty: TestDatabase;
let bytes: Buffer;
beforeAll(async () => {
  service = await startOwnTestService();
  const { name } = await service.createFactory();
  await service.as(service.operatorToken).put(`/v1/factories/${name}/secrets/one`).send({ value: secretValue() });
  ({ bytes } = await backUp(service.databaseUrl));
  empty = await createTestDatabase("empty");
});
afterAll(async () => {
  await empty.drop();
  await service.close();
});

async function read(altered: Buffer, chunkBytes = 64 * 1024): Promise<string> {
  try {
    await readBackup(inChunks(altered, chunkBytes), async (_table, rows) => {
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

/** The backup with another first line or other rows, and a SHA-256 that fits. */
const rewritten = (change: Parameters<typeof rewriteOf>[1]): Buffer => rewriteOf(bytes, change);

const isEmpty = async (url = empty.url): Promise<boolean> => (await relationsIn(url)).length === 0;

describe("a backup", () => {
  it("is taken as it is, however its bytes come", async () => {
    for (const size of [1, 7, 71, 72, 73, 4096, bytes.length]) expect(await read(bytes, size)).toBe("taken");
    expect(await read(rewritten({}))).toBe("taken");
  });

  it("is refused with any one byte altered", async () => {
    const altered = (at: number) => {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at);
      return copy;
    };
    expect(bytes.length).toBeGreaterThan(3_000);
    expect(await takenOf(bytes.length, altered)).toEqual([]);
  });

  it("is refused cut short to any length, and with a byte more", async () => {
    expect(await takenOf(bytes.length, (length) => bytes.subarray(0, length))).toEqual([]);
    expect(await read(Buffer.concat([bytes, Buffer.of(10)]))).toBe("refused");
  });

  it("is refused when its rows are not those of its header, though its SHA-256 fits", async () => {
    const oneLess = (text: string) => text.replace(/\n/, "");
    const oneMore = (text: string) => `x\n${text}`;
    const behind = (text: string) => `${text}x\n`;
    for (const rows of [oneLess, oneMore, behind, () => ""]) expect(await read(rewritten({ rows }))).toBe("refused");
  });
});

describe("a restore", () => {
  const at = (index: number) => {
    const altered = Buffer.from(bytes);
    altered.writeUInt8(altered.readUInt8(index) ^ 4, index);
    return altered;
  };
  const later = (text: string) => text.replace('"20261124000000_init"', '"20990101000000_later"');
  const otherSum = (text: string) => text.replace(/("checksum":")[0-9a-f]{4}/, "$1ffff");
  it.each<[string, () => Buffer, string]>([
    ["altered in its first line", () => at(40), "altered"],
    ["altered in its rows", () => at(bytes.indexOf(10) + 500), "damaged"],
    ["altered in its last byte", () => at(bytes.length - 1), "damaged"],
    ["cut short", () => bytes.subarray(0, -500), "damaged"],
    ["empty", () => Buffer.alloc(0), "no backup"],
    ["something else", () => Buffer.from('{"type":"key"}\n'), "no backup"],
    [
      "of a newer format",
      () => rewritten({ header: (text) => text.replace('"version":1', '"version":2') }),
      "format 2",
    ],
    [
      "with members that are not known",
      () => rewritten({ header: (text) => text.replace("{", '{"more":1,') }),
      "altered",
    ],
    ["of a newer release", () => rewritten({ header: later }), "20990101000000_later"],
    ["of another release", () => rewritten({ header: otherSum }), "is another than"],
  ])("of a file %s writes nothing and says why", async (_what, file, sentence) => {
    await expect(restoreInto(empty.url, file())).rejects.toThrow(sentence);
    await expect(restoreInto(empty.url, file())).rejects.toThrow(BackupRefused);
    expect(await isEmpty()).toBe(true);
  });

  it("that fails in the middle leaves nothing", async () => {
    const broken = rewritten({
      rows: (text) => text.replace(/(\n[0-9a-f-]{36}\t[0-9a-f-]{36}\t)one\t/, "$1no name\t"),
    });
    await expect(restoreInto(empty.url, broken)).rejects.toThrow("secrets_name_check");
    await expect(restoreInto(empty.url, broken)).rejects.toThrow(BackupRefused);
    expect(await isEmpty()).toBe(true);
  });

  it("into a database that is in use is refused, and changes nothing there", async () => {
    const before = await service.database.pool.query("SELECT count(*)::int AS n FROM audit_events");
    await expect(restoreInto(service.databaseUrl, bytes)).rejects.toThrow("The database is not empty");
    expect((await service.database.pool.query("SELECT count(*)::int AS n FROM audit_events")).rows).toEqual(
      before.rows,
    );
  });

  it("into one whose encoding the server refuses is refused with the same sentence, and leaves it empty", async () => {
    const ascii = await createTestDatabase("empty", "SQL_ASCII");
    await expect(restoreInto(ascii.url, bytes)).rejects.toThrow(
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
    await expect(restoreInto(database.url, bytes)).rejects.toThrow(
      "The database is not empty: it holds foo, which is none of this service. Nothing was changed.",
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
    expect((await restoreInto(database.url, bytes)).rows).toBeGreaterThan(5);
    await database.drop();
  });

  it("into an empty one with a later schema than the backup's is refused", async () => {
    const database = await createTestDatabase();
    await inDatabase(
      database.url,
      "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('1', 'x', '20990101000000_later', now())",
    );
    await expect(restoreInto(database.url, bytes)).rejects.toThrow("20990101000000_later, which is newer");
    await database.drop();
  });

  it("into an empty one that has the schema goes through, once", async () => {
    const database = await createTestDatabase();
    expect((await restoreInto(database.url, bytes)).rows).toBeGreaterThan(5);
    await expect(restoreInto(database.url, bytes)).rejects.toThrow("not empty");
    await database.drop();
  });
});
