import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { applyNext, type Migration, readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { killAtLock } from "./kill-at-lock.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";

const key = randomBytes(32).toString("base64");

let migrations: Migration[];
let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  migrations = await readMigrations(migrationsDirectory);
  database = await createTestDatabase("empty");
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  // Makes the table of records, so that it can be locked before the first migration.
  await client.query("BEGIN");
  await applyNext(client, []);
  await client.query("COMMIT");
});
afterEach(endServerProcesses);
afterAll(async () => {
  await client.end();
  await database.drop();
});

/** The tables, columns, indexes, constraints and functions there are, and the migrations that are recorded. */
async function schema(): Promise<unknown[]> {
  const { rows } = await client.query(
    `SELECT c.relname || ' ' || c.relkind::text AS name FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
     UNION ALL SELECT c.relname || '.' || a.attname || ' ' || a.attnotnull::text FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
     UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
     UNION ALL SELECT proname || md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
     UNION ALL SELECT migration_name FROM _prisma_migrations
     ORDER BY 1`,
  );
  return rows;
}

/** Starts the service while `lock` is held, and kills it once its migration waits for that. */
function killedAt(lock: string): Promise<void> {
  const server = startServerProcess({ DATABASE_URL: database.url, FACTORY_SECRETS_KEY: key });
  return killAtLock({ databaseUrl: database.url, lock, server });
}

async function oldTables(): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_prisma_migrations'",
  );
  return rows.map(({ name }) => name).join(", ");
}

describe("a service that is killed in the middle of a migration", () => {
  it("leaves the database as it was before it, and the next start goes on", async () => {
    for (const [index, { name }] of migrations.entries()) {
      // A start of the server each: the first, the next and the last stand for the rest, which are run in the same way.
      if (index < 2 || index === migrations.length - 1) {
        const before = await schema();
        // Before its first change of a table that is there, or between its last statement and its record.
        const changes = `LOCK TABLE ${await oldTables()} IN ROW EXCLUSIVE MODE`;
        await killedAt(index === 1 ? changes : "LOCK TABLE _prisma_migrations IN SHARE MODE");
        expect(await schema(), `after a kill in ${name}`).toEqual(before);
      }
      await client.query("BEGIN");
      expect(await applyNext(client, migrations)).toBe(name);
      await client.query("COMMIT");
    }
    const server = startServerProcess({ DATABASE_URL: database.url, FACTORY_SECRETS_KEY: key });
    await server.listening();
  });
});
