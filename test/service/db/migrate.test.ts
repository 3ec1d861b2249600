import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { applyMigrations, assertUtf8 } from "../../../src/db/migrate.js";
import { DatabaseUnusable } from "../../../src/db/wait-for-database.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";

const onProgress = () => undefined;

let database: TestDatabase;
let pool: pg.Pool;
let directory: string;

beforeEach(async () => {
  database = await createTestDatabase("empty");
  pool = new pg.Pool({ connectionString: database.url });
  directory = await mkdtemp(join(tmpdir(), "migrations-"));
});

afterEach(async () => {
  await pool.end();
  await database.drop();
  await rm(directory, { recursive: true });
});

async function write(name: string, sql: string): Promise<void> {
  await mkdir(join(directory, name), { recursive: true });
  await writeFile(join(directory, name, "migration.sql"), sql);
}

const apply = (from = pool) => applyMigrations({ pool: from, onProgress }, directory);

describe("applying migrations", () => {
  it("applies them in the order of their names, once, and records each as Prisma does", async () => {
    const first = "CREATE TABLE a (id int);\nCREATE INDEX a_id ON a (id);\n";
    await write("20260102000000_second", "ALTER TABLE a ADD COLUMN name text");
    await write("20260101000000_first", first);

    expect(await apply()).toEqual(["20260101000000_first", "20260102000000_second"]);
    expect(await apply()).toEqual([]);

    const { rows } = await pool.query("SELECT * FROM _prisma_migrations ORDER BY started_at");
    expect(rows).toHaveLength(2);
    expect(rows[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      checksum: createHash("sha256").update(first).digest("hex"),
      migration_name: "20260101000000_first",
      started_at: expect.any(Date),
      finished_at: expect.any(Date),
      applied_steps_count: 1,
      logs: null,
      rolled_back_at: null,
    });
  });

  it("lets replicas that start together apply each migration exactly once", async () => {
    await write("20260101000000_a", "CREATE TABLE a (id int); SELECT pg_sleep(0.1)");
    await write("20260102000000_b", "CREATE TABLE b (id int); INSERT INTO b VALUES (1)");
    const replicas = Array.from({ length: 6 }, () => new pg.Pool({ connectionString: database.url, max: 2 }));

    const applied = await Promise.all(replicas.map((replica) => apply(replica)));
    await Promise.all(replicas.map((replica) => replica.end()));

    expect(applied.flat().sort()).toEqual(["20260101000000_a", "20260102000000_b"]);
    expect((await pool.query("SELECT count(*)::int AS n FROM b")).rows).toEqual([{ n: 1 }]);
  });

  it("waits for whoever holds Prisma's own migration lock", async () => {
    await write("20260101000000_a", "CREATE TABLE a (id int)");
    const prisma = new pg.Client({ connectionString: database.url });
    await prisma.connect();
    await prisma.query("SELECT pg_advisory_lock(72707369)");
    let done = false;
    const applying = apply().then(() => {
      done = true;
    });
    await expect
      .poll(
        async () => (await prisma.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")).rowCount,
      )
      .toBe(1);
    expect(done).toBe(false);
    await prisma.query("SELECT pg_advisory_unlock(72707369)");
    await applying;
    await prisma.end();
    expect(done).toBe(true);
  });

  it("takes back all of a migration that fails, says why, and goes on once it is mended", async () => {
    await write("20260101000000_a", "CREATE TABLE a (id int)");
    await write("20260102000000_b", "CREATE TABLE b (id int); CREATE TABLE a (id int)");

    await expect(apply()).rejects.toThrow(
      'The migration 20260102000000_b failed and was rolled back; the database is as it was: relation "a" already exists',
    );
    expect((await pool.query("SELECT to_regclass('b') AS b, to_regclass('a') AS a")).rows).toEqual([
      { b: null, a: "a" },
    ]);
    expect((await pool.query("SELECT FROM _prisma_migrations")).rowCount).toBe(1);

    await write("20260102000000_b", "CREATE TABLE b (id int)");
    expect(await apply()).toEqual(["20260102000000_b"]);
  });
});

describe("refusing a database", () => {
  beforeEach(async () => {
    await write("20260101000000_a", "CREATE TABLE a (id int);\n");
    await apply();
  });

  it("refuses one whose applied migration was changed", async () => {
    await write("20260101000000_a", "CREATE TABLE a (id bigint);\n");
    await expect(apply()).rejects.toThrow("20260101000000_a was changed after it was applied");
  });

  it("takes other line ends for no change", async () => {
    await write("20260101000000_a", "CREATE TABLE a (id int);\r\n");
    expect(await apply()).toEqual([]);
  });

  it("refuses one that a newer release has used", async () => {
    await write("20260102000000_b", "CREATE TABLE b (id int)");
    await apply();
    await rm(join(directory, "20260102000000_b"), { recursive: true });
    await expect(apply()).rejects.toThrow("was used by a newer release: it has the migration 20260102000000_b");
  });

  it("refuses one in which Prisma recorded a failure, until that is marked as rolled back", async () => {
    await write("20260102000000_b", "CREATE TABLE b (id int)");
    await pool.query(
      "INSERT INTO _prisma_migrations (id, checksum, migration_name, logs) VALUES ('1', 'x', '20260102000000_b', 'it broke')",
    );
    await expect(apply()).rejects.toThrow("prisma migrate resolve --rolled-back 20260102000000_b");
    await pool.query("UPDATE _prisma_migrations SET rolled_back_at = now() WHERE id = '1'");
    expect(await apply()).toEqual(["20260102000000_b"]);
  });
});

describe("the encoding of a database", () => {
  it("accepts UTF8", async () => {
    await expect(assertUtf8(pool)).resolves.toBeUndefined();
  });

  it("refuses any other, and says how to make one that fits", async () => {
    const name = `latin_${process.pid}`;
    const admin = new pg.Pool({ connectionString: inject("testServer").adminUrl });
    await admin.query(`CREATE DATABASE ${name} ENCODING 'SQL_ASCII' TEMPLATE template0`);
    const url = new URL(inject("testServer").adminUrl);
    url.pathname = `/${name}`;
    const latin = new pg.Pool({ connectionString: url.href });
    await expect(assertUtf8(latin)).rejects.toThrow(DatabaseUnusable);
    await expect(assertUtf8(latin)).rejects.toThrow("has the encoding SQL_ASCII, and the service needs UTF8");
    await latin.end();
    await admin.query(`DROP DATABASE ${name}`);
    await admin.end();
  });
});
