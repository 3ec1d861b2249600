import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { advisoryLockId, applyMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { createStoredValues } from "../../support/crash/stored-values.js";
import { startWriters } from "../../support/failures/writers.js";
import { createTestDatabase } from "../../support/test-database.js";
import { backUp, restoreInto } from "./backed-up.js";

let broker: BrokeredFactory;
beforeAll(async () => {
  broker = await startBrokeredFactory(() => undefined, {}, "a new database");
});
afterAll(() => broker.close());

it("is of one moment, however many write meanwhile, and keeps none of them waiting", async () => {
  const load = startWriters(broker, "name_");
  await expect.poll(() => load.acknowledged.length).toBeGreaterThan(50);
  const backups = [];
  for (let round = 0; round < 2; round += 1) {
    const before = [...load.acknowledged];
    const backup = await backUp(broker.service);
    expect(load.acknowledged.length).toBeGreaterThan(before.length);
    backups.push({ before, backup });
  }
  await load.stop();
  expect([...load.statuses.keys()].filter((status) => status !== 200 && status !== 201)).toEqual([]);
  for (const { before, backup } of backups) {
    const database = await createTestDatabase("empty");
    await restoreInto(database.url, backup);
    const stored = await createStoredValues({ databaseUrl: database.url, key: broker.service.key }, broker.factory.id);
    const { current, audited } = await stored.versions();
    // Each version that stands has its audit row, and no row tells of one that does not.
    expect(audited).toEqual(current);
    for (const { name, version } of before) expect(current.get(name)).toBeGreaterThanOrEqual(version);
    for (const [name, version] of current) expect(await stored.open(name, version)).toMatch(/^not-a-real-secret/);
    await stored.close();
    await database.drop();
  }
});

it("keeps migrations out until it is done, and is refused while one is under way", async () => {
  const client = new pg.Client({ connectionString: broker.service.databaseUrl });
  await client.connect();
  await client.query("BEGIN");
  await client.query("SELECT pg_advisory_xact_lock($1)", [advisoryLockId]);
  await expect(backUp(broker.service)).rejects.toThrow("is being migrated at this moment");
  await client.query("ROLLBACK");
  // Who needs no migration is not kept waiting by a backup either.
  await client.query("BEGIN");
  await client.query("SELECT pg_advisory_xact_lock_shared($1)", [advisoryLockId]);
  const pool = new pg.Pool({ connectionString: broker.service.databaseUrl });
  expect(await applyMigrations({ pool, onProgress: () => undefined }, migrationsDirectory)).toEqual([]);
  await pool.end();
  await client.end();
});
