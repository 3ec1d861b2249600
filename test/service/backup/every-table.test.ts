import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leftOut } from "../../../src/backup/format.js";
import { inOrderOfNeed, readSequences, readTables, type Table } from "../../../src/backup/make-backup.js";

import { readMigrations, tablesOf } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { backUp } from "./backed-up.js";

let service: TestService;
let client: pg.Client;
let tables: Table[];
beforeAll(async () => {
  service = await startOwnTestService();
  client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  tables = await readTables(client);
});
afterAll(async () => {
  await client.end();
  await service.close();
});

const namesOf = (sql: string) => async () => (await client.query<{ name: string }>(sql)).rows.map(({ name }) => name);
/** By another way than the backup asks. */
const tablesThere = namesOf("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename");

describe("every table", () => {
  it("is in a backup, or named as left out on purpose", async () => {
    const { made } = await backUp(service);
    const inBackup = new Set(made.header.tables.map(({ name }) => name));
    expect((await tablesThere()).filter((name) => !inBackup.has(name))).toEqual([...leftOut.keys()].toSorted());
    expect([...leftOut.keys()].filter((name) => inBackup.has(name))).toEqual([]);
  });

  it("is one that the migrations make in a way that is recognised", async () => {
    const known = tablesOf(await readMigrations(migrationsDirectory));
    expect((await tablesThere()).filter((name) => !known.has(name))).toEqual(["_prisma_migrations"]);
  });

  it("goes with all of its columns", async () => {
    const { made } = await backUp(service);
    const columnsThere = namesOf(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'public' AND is_generated = 'NEVER' ORDER BY 1`,
    );
    const inBackup = new Set(made.header.tables.flatMap(({ name, columns }) => columns.map((one) => `${name}.${one}`)));
    const missing = (await columnsThere()).filter((name) => !inBackup.has(name));
    expect(missing.filter((name) => !leftOut.has(name.split(".")[0] ?? ""))).toEqual([]);
  });

  it("comes after those that its rows point to", () => {
    const seen = new Set<string>();
    for (const { name, needs } of inOrderOfNeed(tables)) {
      expect(needs.filter((need) => !seen.has(need))).toEqual([]);
      seen.add(name);
    }
    expect(seen.size).toBe(tables.length);
  });

  it("is refused when it stands in a circle of tables", () => {
    const circle = [
      { name: "a", columns: ["id"], needs: ["b"] },
      { name: "b", columns: ["id"], needs: ["a"] },
    ];
    expect(() => inOrderOfNeed(circle)).toThrow("point at each other: a, b");
  });
});

it("every sequence is in a backup", async () => {
  const there = namesOf("SELECT sequencename AS name FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1");
  const found = await readSequences(
    client,
    tables.map(({ name }) => name),
  );
  expect(found.map(({ name }) => name)).toEqual(await there());
  expect(found.length).toBeGreaterThan(0);
});

it("nothing that means something in one Postgres alone goes into another", async () => {
  const columns = namesOf(
    `SELECT c.relname || '.' || a.attname AS name FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
       AND a.atttypid IN ('xid8'::regtype, 'xid'::regtype, 'oid'::regtype, 'pg_lsn'::regtype, 'pg_snapshot'::regtype, 'tid'::regtype)
     ORDER BY 1`,
  );
  // Each is given a value of the new one: src/backup/make/store.ts and src/backup/restore/store.ts say how.
  // The withdrawals are in no backup.
  expect(await columns()).toEqual(["audit_events.transaction", "audit_sealer.frontier", "withdrawals.transaction"]);
});

it("a table of somebody else is told of, and left alone", async () => {
  await client.query("CREATE TABLE of_somebody_else (id int); INSERT INTO of_somebody_else VALUES (1)");
  const { made, said } = await backUp(service);
  expect(said).toEqual(["The table of_somebody_else does not belong to this release and is not in the backup."]);
  expect(made.header.tables.map(({ name }) => name)).not.toContain("of_somebody_else");
  await client.query("DROP TABLE of_somebody_else");
});
