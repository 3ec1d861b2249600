import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { exportNdjson } from "../../../src/audit/log/export.js";
import { AuditSealer } from "../../../src/audit/log/sealer.js";
import { AuditSigningKey } from "../../../src/audit/log/signing-key.js";
import { verifyExport } from "../../../src/audit/log/verify.js";
import { AuditWriter } from "../../../src/audit/record.js";
import { verifyDatabase } from "../../../src/cli/server/audit.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { earlierTransactionsEnded } from "../../support/earlier-transactions.js";
import { roundsOf } from "../../support/rounds.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";

const rounds = roundsOf(3, 6);
const eventsOfRound = 2_000;
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
       (SELECT coalesce(sum(size), 0)::int FROM audit_logs) AS end`,
  );
  return rows[0];
}

it(`killed ${rounds} times in the middle of sealing, it seals each event once and the log holds`, async () => {
  let killedInTheMiddle = 0;
  for (let round = 0; round < rounds; round += 1) {
    await writeBacklog();
    const before = await counts();
    const server = startServer();
    await server.listening();
    const enough = before.seals + 100 + 200 * round;
    await expect.poll(async () => (await counts()).seals, { interval: 5 }).toBeGreaterThan(enough);
    server.signal("SIGKILL");
    await server.ended;
    const { seals, end, unsealed } = await counts();
    expect(seals).toBe(end);
    if (unsealed > 0) killedInTheMiddle += 1;
  }
  // A kill that came too late each time would prove nothing.
  expect(killedInTheMiddle).toBeGreaterThan(0);
  const keys = await openKeyRing(database.prisma, { kind: "setting", text: key });
  const signingKey = new AuditSigningKey({ prisma: database.prisma, keys, audit: new AuditWriter(database.pool) });
  const sealer = new AuditSealer({ prisma: database.prisma, signingKey, onError: () => undefined });
  const { rows } = await database.pool.query<{ id: string }>("SELECT id FROM installation");
  const installation = rows[0]?.id ?? "";
  await earlierTransactionsEnded(database);
  await sealer.seal();
  await sealer.sign();
  const [verified] = await verifyExport(exportNdjson(database.prisma, [installation], "installation"));
  expect(verified?.size).toBeGreaterThan(rounds * eventsOfRound);
  expect(await verifyDatabase(database.prisma, {})).toContain("OK: no event was altered");
});
