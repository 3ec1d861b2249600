import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { exportNdjson, exportRange } from "../../src/audit/chain/export-lines.js";
import { verifyExport } from "../../src/audit/chain/verify-export.js";
import { findStray } from "../../src/audit/database-check/stray-events.js";
import { type Database, openDatabase } from "../../src/db/database.js";
import { createTestDatabase, type TestDatabase } from "../support/test-database.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";

const rounds = 6;
const eventsOfRound = 6_000;
const key = randomBytes(32).toString("base64");

let testDatabase: TestDatabase;
let database: Database;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 2, onError: () => undefined });
});
afterAll(async () => {
  await endServerProcesses();
  await database.close();
  await testDatabase.drop();
});

function startServer() {
  return startServerProcess({
    DATABASE_URL: testDatabase.url,
    FACTORY_SECRETS_KEY: key,
    FACTORY_SECRETS_LOG_LEVEL: "warn",
  });
}

/** Writes events as a replica does that the sealer has not caught up with, in transactions of a hundred. */
async function writeBacklog(): Promise<void> {
  const writer = randomUUID();
  for (let sequence = 1; sequence <= eventsOfRound; sequence += 100) {
    await database.pool.query(
      `INSERT INTO audit_events (at, factory_id, action, outcome, actor_kind, actor_id, writer, sequence, event)
       SELECT '2026-11-24T12:00:00Z', NULL, 'operator-token.created', 'allowed', 'service', NULL, $1, number, convert_to(
         '{"action":"operator-token.created","actor":{"id":"","kind":"service","name":"n"},"at":"2026-11-24T12:00:00.000Z","outcome":"allowed","requestId":"' || number || '"}',
         'UTF8')
       FROM generate_series($2::int, $2::int + 99) AS number`,
      [writer, sequence],
    );
  }
}

async function counts(): Promise<{ seals: number; unsealed: number; end: number }> {
  const { rows } = await database.pool.query(
    `SELECT (SELECT count(*)::int FROM audit_seals) AS seals,
       (SELECT count(*)::int FROM audit_events e WHERE NOT EXISTS (SELECT FROM audit_seals WHERE event_id = e.id)) AS unsealed,
       (SELECT coalesce(max(position), 0)::int FROM audit_chains) AS end`,
  );
  return rows[0];
}

it(`killed ${rounds} times in the middle of sealing, it seals each event once and the chain holds`, async () => {
  let killedInTheMiddle = 0;
  for (let round = 0; round < rounds; round += 1) {
    await writeBacklog();
    const before = await counts();
    const server = startServer();
    await server.listening();
    const enough = before.seals + 200 + 700 * round;
    await expect.poll(async () => (await counts()).seals, { timeout: 20_000, interval: 5 }).toBeGreaterThan(enough);
    server.signal("SIGKILL");
    await server.ended;
    const { seals, end, unsealed } = await counts();
    expect(seals).toBe(end);
    if (unsealed > 0) killedInTheMiddle += 1;
  }
  // A kill that came too late each time would prove nothing.
  expect(killedInTheMiddle).toBeGreaterThan(0);
  const server = startServer();
  const url = await server.listening();
  await expect.poll(async () => (await counts()).unsealed, { timeout: 30_000 }).toBe(0);
  expect((await fetch(`${url}/v1/audit/checkpoint-keys`)).status).toBe(200);
  await expect
    .poll(async () => (await database.pool.query("SELECT FROM audit_statements")).rowCount, { timeout: 30_000 })
    .toBeGreaterThan(0);
  server.signal("SIGTERM");
  await server.ended;
  const { rows } = await database.pool.query<{ id: string }>("SELECT id FROM installation");
  const range = await exportRange(database.prisma, rows[0]?.id ?? "");
  if (range === undefined) throw new Error("no checkpoint was signed");
  const verified = await verifyExport(exportNdjson(database.prisma, range));
  expect(verified.through).toBeGreaterThan(rounds * eventsOfRound * 0.9);
  expect(await findStray(database.prisma)).toBeUndefined();
}, 180_000);
