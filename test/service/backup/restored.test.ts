import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditSealer } from "../../../src/audit/log/sealer.js";
import { AuditSigningKey } from "../../../src/audit/log/signing-key.js";
import { AuditWriter } from "../../../src/audit/record.js";
import { leftOut } from "../../../src/backup/format.js";
import { verifyDatabase } from "../../../src/cli/server/audit.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { createStoredValues } from "../../support/crash/stored-values.js";
import { makeRoot } from "../../support/devices/device-certificates.js";
import { earlierTransactionsEnded } from "../../support/earlier-transactions.js";
import { secretValue } from "../../support/leak-watch.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import {
  eventsIn,
  type SealedService,
  startSealedService,
  storedLines,
  verifyLines,
} from "../audit/log/sealed-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { login, makeClient, refresh, type TestClient, watchIssued } from "../oauth/oauth-factory.js";
import { type BackedUp, backUp, restoreInto } from "./backed-up.js";

const name = "acme";
const path = `/v1/factories/${name}`;
const environment = { FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" };
const config = "- {type: generic, url: ghcr.io, generic_secret_name: ghcr_creds}\n";
const values = { ghcr_creds: `ci:${secretValue("ghcr")}`, other: `${secretValue("other")}\n\\N\t\u0000\u{1F511}` };

/** What was there before the backup was made, and is used again after the restore. */
type Before = {
  factory: { id: string };
  apiToken: { id: string; token: string };
  job: { token: string };
  client: TestClient;
  session: { access_token: string; refresh_token: string };
  denied: string;
};

let sealed: SealedService;
let before: Before;
let backedUp: BackedUp;
let database: TestDatabase;
let restored: TestService;
beforeAll(async () => {
  sealed = await startSealedService(environment);
  before = await fill(sealed.service);
  await sealed.exported();
  // An event that is committed, and has no place in the chain yet.
  await sealed.service.as(sealed.service.operatorToken).put(`${path}/secrets/late`).send({ value: secretValue() });
  backedUp = await backUp(sealed.service);
  database = await createTestDatabase("empty");
  await restoreInto(database.url, backedUp);
  restored = await startTestService(environment, { databaseUrl: database.url, key: sealed.service.key });
});
afterAll(async () => {
  await restored.close();
  await database.drop();
  await sealed.service.close();
});

async function fill(service: TestService): Promise<Before> {
  const operator = () => service.as(service.operatorToken);
  const factory = await service.createFactory(name);
  for (const [secret, value] of Object.entries(values)) {
    await operator().put(`${path}/secrets/${secret}`).send({ value: secretValue() }).expect(201);
    await operator().put(`${path}/secrets/${secret}`).send({ value }).expect(200);
  }
  await operator().put(`${path}/config`).set("Content-Type", "application/yaml").send(config).expect(201);
  const apiToken = await service.createApiToken(name, ["secrets:list", "secrets:write"]);
  const job = await service.openJob(name, {
    grants: [{ registry: "ghcr.io", repositories: ["a/b"], actions: ["pull"] }],
  });
  const client = await makeClient(service, name, { permissions: ["secrets:list"] });
  const session = (await login(service, client)).body;
  watchIssued(session);
  const authority = { name: "devices", certificates: (await makeRoot()).pem };
  await operator().post(`${path}/device-authorities`).send(authority).expect(201);
  const denied = await operator().post(`${path}/denied-devices`).send({ deviceId: factory.id }).expect(201);
  return { factory, apiToken, job, client, session, denied: denied.body.id };
}

/** A sum of each table, without the columns that a restore changes on purpose. */
async function sumsOf({ pool }: Database): Promise<Map<string, string>> {
  const tables = await pool.query<{ name: string }>(
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
  );
  const sums = new Map<string, string>();
  for (const table of tables.rows.filter((one) => !leftOut.has(one.name))) {
    const { rows } = await pool.query<{ sum: string }>(
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(text, ' ' ORDER BY text)), '') AS sum
       FROM (SELECT (to_jsonb(t) - '{generation,revoked_at,transaction}'::text[])::text AS text FROM ${table.name} AS t) AS row`,
    );
    sums.set(table.name, rows[0]?.sum ?? "");
  }
  return sums;
}

it("every row of every table is there as it was", async () => {
  const source = await createTestDatabase("empty");
  await restoreInto(source.url, backedUp);
  const copy = openDatabase({ url: source.url, connections: 2, onError: () => undefined });
  await copy.pool.query("ALTER TABLE audit_events DISABLE TRIGGER USER");
  await copy.pool.query("DELETE FROM audit_events WHERE action = 'backup.restored'");
  // The first service wrote no row since, but for its sealer.
  const own = await sumsOf(sealed.service.database);
  const theirs = await sumsOf(copy);
  const changing = ["audit_seals", "audit_logs", "audit_checkpoints", "audit_shipments"];
  for (const table of changing) {
    own.delete(table);
    theirs.delete(table);
  }
  expect(theirs).toEqual(own);
  expect([...own.values()].filter((sum) => !sum.startsWith("0 ")).length).toBeGreaterThan(12);
  await copy.close();
  await source.drop();
});

describe("a restored installation", () => {
  it("opens every version of every secret with the same key, and with no other", async () => {
    const stored = await createStoredValues(restored, before.factory.id);
    for (const [secret, value] of Object.entries(values)) {
      expect(await stored.open(secret, 2)).toBe(value);
      expect(await stored.open(secret, 1)).toMatch(/^not-a-real-secret/);
    }
    await stored.close();
    const other = Buffer.alloc(32, 1).toString("base64");
    await expect(openKeyRing(restored.database.prisma, { kind: "setting", text: other })).rejects.toThrow(
      "does not fit this database",
    );
  });

  it("knows its operators, API tokens and OAuth clients, and takes writes where they were left", async () => {
    const { body } = await restored.as(sealed.service.operatorToken).get(`${path}/secrets`).expect(200);
    expect(body.items.map((item: { name: string; version: number }) => [item.name, item.version])).toEqual([
      ["ghcr_creds", 2],
      ["late", 1],
      ["other", 2],
    ]);
    const api = restored.as(before.apiToken.token);
    const written = await api.put(`${path}/secrets/other`).send({ value: secretValue() }).expect(200);
    expect(written.body.version).toBe(3);
    expect((await login(restored, before.client)).status).toBe(200);
  });

  it("has ended jobs and sessions: one that ended after the backup was made must not live again", async () => {
    const job = await restored.as(before.job.token).post(`${path}/registry-tokens`).send({ registry: "ghcr.io" });
    expectProblem(job, "unauthenticated");
    expectProblem(await restored.as(before.session.access_token).get(`${path}/secrets`), "unauthenticated");
    const refreshed = await refresh(restored, before.client, before.session.refresh_token);
    expect([refreshed.status, refreshed.body.error]).toEqual([400, "invalid_grant"]);
    expect((await restored.openJob(name)).token).toMatch(/^fsj_/);
  });

  it("has generations that no replica can have seen, so nothing remembered passes for what was restored", async () => {
    const { rows } = await restored.database.pool.query<{ generation: string }>(
      "SELECT generation FROM factories UNION ALL SELECT generation FROM installation",
    );
    expect(rows.length).toBe(2);
    for (const { generation } of rows) expect(Number(generation)).toBeGreaterThan(Date.parse("2026-01-01"));
  });

  it("has an audit that goes on where it was, and verifies as one", async () => {
    const { prisma, pool } = restored.database;
    const keys = await openKeyRing(prisma, { kind: "setting", text: restored.key });
    const signingKey = new AuditSigningKey({ prisma, keys, audit: new AuditWriter(pool) });
    const onError = (error: unknown) => {
      throw error;
    };
    const sealer = new AuditSealer({ prisma, signingKey, onError });
    await earlierTransactionsEnded(restored.database);
    await sealer.seal();
    await sealer.sign();
    const lines = await storedLines(restored);
    const logs = await verifyLines(lines);
    const { rows } = await pool.query<{ n: number }>("SELECT count(*)::int AS n FROM audit_events");
    expect(logs.reduce((sum, { size }) => sum + size, 0)).toBeGreaterThanOrEqual((rows[0]?.n ?? 0) - 2);
    expect(await verifyDatabase(prisma, {})).toContain("OK: no event was altered");
    // What was sealed before keeps its place; what was not comes behind it.
    const text = lines.join("\n");
    expect(text).toContain('"secret":"late"');
    const [first = ""] = eventsIn(await sealed.exported());
    expect(text).toContain(first);
    expect(text).toContain(`"madeAt":"${backedUp.made.header.madeAt}"`);
  });

  it("looks at no transaction id of the Postgres that it came from", async () => {
    const { rows } = await restored.database.pool.query<{ ahead: boolean }>(
      `SELECT (SELECT bool_or(transaction >= pg_snapshot_xmax(pg_current_snapshot())) FROM audit_events)
         OR (SELECT frontier > pg_snapshot_xmax(pg_current_snapshot()) FROM audit_sealer) AS ahead`,
    );
    expect(rows).toEqual([{ ahead: false }]);
  });

  it("keeps its audit append-only", async () => {
    for (const sql of ["DELETE FROM audit_events", "UPDATE audit_events SET outcome = 'x'", "TRUNCATE audit_seals"])
      await expect(restored.database.pool.query(sql)).rejects.toThrow("only appended to");
  });

  it("can be backed up, and that backup restored", async () => {
    const again = await backUp(restored);
    const second = await createTestDatabase("empty");
    await expect(restoreInto(second.url, again)).resolves.toMatchObject({ rows: again.made.rows });
    await second.drop();
  });
});

it("with revokeCredentials nothing of the backup is let in", async () => {
  const second = await createTestDatabase("empty");
  const { ended, live } = await restoreInto(second.url, backedUp, true);
  expect(ended).toBeGreaterThan(4);
  expect(live.size).toBe(0);
  const service = await startTestService(environment, { databaseUrl: second.url, key: sealed.service.key });
  for (const token of [sealed.service.operatorToken, before.apiToken.token])
    expectProblem(await service.as(token).get(`${path}/secrets`), "unauthenticated");
  expect((await login(service, before.client)).body.error).toBe("invalid_client");
  const { body } = await service.as(service.operatorToken).get("/v1/audit?action=backup.restored");
  expect(body.items).toMatchObject([{ count: ended, sha256: backedUp.made.sha256 }]);
  await service.close();
  await second.drop();
});
