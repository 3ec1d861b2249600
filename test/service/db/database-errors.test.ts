import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type DatabaseTrouble, databaseTrouble, mayPass } from "../../../src/core/database-errors.js";
import { createPool } from "../../../src/db/connections.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { asProblem } from "../../../src/http/mount.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";

const coded = (code: string) => Object.assign(new Error("quotes not-a-real-secret"), { code });

/** As Prisma wraps what its adapter found. */
const wrapped = (originalCode: string) =>
  Object.assign(new Error("Raw query failed"), {
    code: "P2010",
    meta: { driverAdapterError: { cause: { originalCode, kind: "postgres" } } },
  });

const states: readonly (readonly [DatabaseTrouble, readonly string[]])[] = [
  [
    "away",
    ["08000", "08001", "08003", "08004", "08006", "08007", "08P01", "57P01", "57P02", "57P03", "57P04", "57P05"],
  ],
  ["away", ["XX000"]],
  ["read-only", ["25006"]],
  ["crowded", ["53300"]],
  ["full", ["53000", "53100", "53200", "53400", "58000", "58030"]],
  ["disturbed", ["40000", "40001", "40003", "40P01", "55P03", "55006", "57014", "25P03", "25P04", "72000"]],
  ["login", ["28000", "28P01"]],
  ["missing", ["3D000"]],
];

describe("an error of Postgres", () => {
  const each = states.flatMap(([trouble, codes]) => codes.map((code) => [code, trouble] as const));
  test.each(each)("%s is %s, and 503 with Retry-After", (code, trouble) => {
    for (const error of [coded(code), wrapped(code), new Error("outer", { cause: coded(code) })]) {
      expect(databaseTrouble(error)).toBe(trouble);
      expect(asProblem(error)).toMatchObject({ status: 503, code: "unavailable", retryAfterSeconds: 1 });
    }
  });

  test.each(["23505", "42P01", "42601", "22P02", "XX001", "XX002", "58P01", "25P02", "0A000", "P0001", "42501"])(
    "%s is a mistake, which the same request makes again",
    (code) => {
      expect(databaseTrouble(coded(code))).toBeUndefined();
      expect(asProblem(coded(code))).toMatchObject({ status: 500, code: "internal" });
    },
  );
});

describe("an error without a code of Postgres", () => {
  const codes = ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "EHOSTUNREACH", "P2028"];
  test.each(codes)("%s is of a database that is away", (code) => {
    expect(databaseTrouble(coded(code))).toBe("away");
  });

  test.each(["CERT_HAS_EXPIRED", "SELF_SIGNED_CERT_IN_CHAIN", "ERR_TLS_CERT_ALTNAME_INVALID", "P1011", "EPROTO"])(
    "%s is of TLS",
    (code) => {
      expect(databaseTrouble(coded(code))).toBe("tls");
    },
  );

  test.each([
    "timeout expired",
    "Connection terminated unexpectedly",
    "Client was closed and is not queryable",
    "timeout exceeded when trying to connect",
  ])("'%s' is of a database that is away", (message) => {
    expect(databaseTrouble(new Error(message))).toBe("away");
  });

  test("a Unix socket that is not there is, and a file that is not there is not", () => {
    expect(databaseTrouble(Object.assign(coded("ENOENT"), { syscall: "connect" }))).toBe("away");
    expect(databaseTrouble(Object.assign(coded("ENOENT"), { syscall: "open" }))).toBeUndefined();
  });
});

test("waiting does not mend a wrong password or name", () => {
  expect(states.map(([trouble]) => trouble).filter((trouble) => !mayPass(trouble))).toEqual(["login", "missing"]);
});

describe("a connection that Postgres ends", () => {
  let own: TestDatabase;
  let admin: pg.Client;
  let database: Database;
  beforeAll(async () => {
    own = await createTestDatabase();
    admin = new pg.Client({ connectionString: own.url });
    await admin.connect();
    database = openDatabase({ url: own.url, connections: 4, onError: () => undefined });
  });
  afterAll(async () => {
    await admin.end();
    await database.close();
    await own.drop();
  });

  const pidOf = async (client: pg.ClientBase): Promise<unknown> =>
    (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid;

  // 57P01 is told to a client that is in use and between two statements, for which neither the pool nor Prisma listens.
  it("between two statements of a client in use ends no process, and the next statement says it", async () => {
    for (const pool of [database.pool, createPool({ connectionString: own.url, max: 1 })]) {
      const client = await pool.connect();
      const pid = await pidOf(client);
      const ended = new Promise((resolve) => client.once("end", resolve));
      await admin.query("SELECT pg_terminate_backend($1)", [pid]);
      await ended;
      expect(databaseTrouble(await client.query("SELECT 1").catch((error: unknown) => error))).toBe("away");
      client.release(true);
      expect((await pool.query("SELECT 1")).rowCount).toBe(1);
      if (pool !== database.pool) await pool.end();
    }
  });

  it("in a transaction of Prisma is told as trouble of the database", async () => {
    const failed = database.prisma.$transaction(async (transaction) => {
      const [row] = await transaction.$queryRawUnsafe<{ pid: number }[]>("SELECT pg_backend_pid() AS pid");
      await admin.query("SELECT pg_terminate_backend($1)", [row?.pid]);
      await transaction.$executeRawUnsafe("SELECT 1");
    });
    expect(databaseTrouble(await failed.catch((error: unknown) => error))).toBe("away");
    expect((await database.pool.query("SELECT 1")).rowCount).toBe(1);
  });

  it("that may only read is told as read-only by pg and by Prisma", async () => {
    await admin.query(
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
    );
    const readOnly = openDatabase({ url: own.url, connections: 2, onError: () => undefined });
    const insert = "INSERT INTO installation (id) VALUES (gen_random_uuid())";
    const errors = [
      await readOnly.pool.query(insert).catch((error: unknown) => error),
      await readOnly.prisma.$executeRawUnsafe(insert).catch((error: unknown) => error),
      await readOnly.prisma.rateLimit.deleteMany({}).catch((error: unknown) => error),
    ];
    expect(errors.map(databaseTrouble)).toEqual(["read-only", "read-only", "read-only"]);
    await readOnly.close();
  });
});
