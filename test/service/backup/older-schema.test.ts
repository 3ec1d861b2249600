import { readFile } from "node:fs/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { applyNext, readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { createStoredValues } from "../../support/crash/stored-values.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startTestService } from "../../support/test-service.js";
import { type BackedUp, backUp, restoreInto } from "./backed-up.js";

const firstRelease = "20261124000000_init";
const rows = new URL(`../../fixtures/releases/${firstRelease}.sql`, import.meta.url);
const key = Buffer.from("not-a-real-key-of-an-old-release").toString("base64");

let old: TestDatabase;
let client: pg.Client;
let backedUp: BackedUp;
beforeAll(async () => {
  old = await createTestDatabase("empty");
  client = new pg.Client({ connectionString: old.url });
  await client.connect();
  await client.query("BEGIN");
  await applyNext(client, (await readMigrations(migrationsDirectory)).slice(0, 1));
  await client.query("COMMIT");
  await client.query(await readFile(rows, "utf8"));
  backedUp = await backUp({ databaseUrl: old.url, key });
});
afterAll(async () => {
  await client.end();
  await old.drop();
});

it("a backup before an upgrade leaves the database as it is, though the new release makes it", async () => {
  expect(backedUp.made.header.migrations.map(({ name }) => name)).toEqual([firstRelease]);
  const { rows: recorded } = await client.query("SELECT migration_name FROM _prisma_migrations");
  expect(recorded).toEqual([{ migration_name: firstRelease }]);
});

it("events that wait to be sealed stand in many small transactions, however many they are", async () => {
  await client.query(
    `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, event)
     SELECT at, action, outcome, actor_kind, gen_random_uuid(), 1, event
     FROM (SELECT * FROM audit_events ORDER BY id LIMIT 1) AS e, generate_series(1, 3000)`,
  );
  const database = await createTestDatabase("empty");
  await restoreInto(database.url, await backUp({ databaseUrl: old.url, key }));
  const restored = new pg.Client({ connectionString: database.url });
  await restored.connect();
  const { rows: sizes } = await restored.query<{ size: number; from: string }>(
    "SELECT transaction::text AS from, count(*)::int AS size FROM audit_events WHERE transaction < '100' GROUP BY 1 ORDER BY 1",
  );
  expect(sizes.map(({ from }) => from)).toEqual(["1", "2", "3", "4"]);
  expect(Math.max(...sizes.map(({ size }) => size))).toBe(1_000);
  const inOrder =
    "SELECT FROM audit_events AS a JOIN audit_events AS b ON a.transaction < b.transaction AND a.id > b.id";
  expect((await restored.query(`${inOrder} LIMIT 1`)).rowCount).toBe(0);
  await restored.end();
  await database.drop();
});

it("a backup of an older release is restored, and brought up to date", async () => {
  const database = await createTestDatabase("empty");
  await restoreInto(database.url, backedUp);
  const service = await startTestService({}, { databaseUrl: database.url, key });
  const { rows: factories } = await service.database.pool.query("SELECT id FROM factories WHERE name = 'acme'");
  const stored = await createStoredValues(service, factories[0]?.id);
  expect(await stored.open("ghcr_creds", 2)).toBe("ci:not-a-real-secret-2");
  await stored.close();
  const operator = service.as(service.operatorToken);
  const { text } = await operator.get("/v1/audit/export").expect(200);
  expect(text.split("\n").filter((line) => line.startsWith('{"type":"event"')).length).toBeGreaterThan(20);
  await service.close();
  await database.drop();
});
