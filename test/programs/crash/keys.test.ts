import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { KeyRing } from "../../../src/crypto/key-ring.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { openKeys } from "../../../src/service/key-source.js";
import { readSettings } from "../../../src/settings/settings.js";
import { newKey } from "../../support/keys/keyed-service.js";
import { type Everything, openEverything } from "../../support/keys/open-everything.js";
import { secretValue } from "../../support/leak-watch.js";
import { roundsOf } from "../../support/rounds.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { endServerProcesses, type ServerProcess, startServerProcess } from "./server-process.js";

const factories = 25;
const secrets = 40;
const killedInBatches = roundsOf(2, 3);

const [first, second] = [newKey(), newKey()];
let testDatabase: TestDatabase;
let database: Database;
let keys: KeyRing;
let server: ServerProcess;
let url: string;
let token: string;
/** What was acknowledged of the factory that is written to: `name/version` to the value. */
const acknowledged = new Map<string, string>();

const settings = (): Record<string, string> => ({
  DATABASE_URL: testDatabase.url,
  FACTORY_SECRETS_KEY: first.text,
  FACTORY_SECRETS_KEYS: "env:SECOND_KEY",
  SECOND_KEY: second.text,
  FACTORY_SECRETS_LOG_LEVEL: "warn",
});

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 4, onError: () => undefined });
  await start();
  token = /FACTORY_SECRETS_TOKEN=(fso_\S+)/.exec(server.said())?.[1] ?? "";
  keys = await openKeys(database.prisma, readSettings(settings()), undefined);
  for (let n = 0; n < factories; n += 1) await ask("POST", "/v1/factories", { name: `f${n}` });
  await Promise.all(Array.from({ length: secrets }, (_, n) => put(`s${n}`)));
  await ask("POST", "/v1/keys", { key: second.id });
  await ask("POST", `/v1/keys/${second.id}:activate`);
});
afterAll(async () => {
  await endServerProcesses();
  await database.close();
  await testDatabase.drop();
});

async function start(): Promise<void> {
  server = startServerProcess(settings());
  url = await server.listening();
}

async function ask(method: "GET" | "POST" | "PUT", path: string, body: object = {}) {
  const headers = { "OSF-TOKEN": token, "Content-Type": "application/json" };
  const reply = await fetch(`${url}${path}`, {
    method,
    headers,
    ...(method !== "GET" && { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  if (reply.status >= 300) throw new Error(`${path} answered ${reply.status}: ${text}`);
  return JSON.parse(text);
}

async function put(name: string): Promise<void> {
  const value = secretValue(name);
  const { version } = await ask("PUT", `/v1/factories/f0/secrets/${name}`, { value });
  acknowledged.set(`f0/${name}/${version}`, value);
}

const everything = (): Promise<Everything> => openEverything(database, keys);
const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0);

async function query<T extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<T[]> {
  return (await database.pool.query<T>(sql, values)).rows;
}

/** Kills the server, and lets the time of its lease be over: the next one need not wait for it. */
async function killAndExpire(): Promise<void> {
  server.signal("SIGKILL");
  await server.ended;
  await query("UPDATE key_tasks SET leased_until = now() WHERE state = 'running'");
}

/**
 * Takes a lock, begins what needs it, and kills the server while its statement of this kind waits. The lock goes after
 * that.
 */
async function killWhileWaiting(
  lock: { sql: string; values?: unknown[] },
  statement: string,
  begin: () => unknown,
): Promise<void> {
  const holder = new pg.Client({ connectionString: testDatabase.url });
  await holder.connect();
  await holder.query("BEGIN");
  await holder.query(lock.sql, lock.values);
  await begin();
  const waiting = `SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`;
  const countWaiting = async () => (await query(waiting, [`%${statement}%`])).length;
  await expect.poll(countWaiting, { interval: 10 }).toBeGreaterThan(0);
  await killAndExpire();
  await holder.query("ROLLBACK");
  await holder.end();
  // What the killed server has sent already is ended one way or the other before anybody looks.
  await expect.poll(countWaiting, { interval: 10 }).toBe(0);
}

const lockAudit = { sql: "LOCK TABLE audit_events IN SHARE MODE" };
const eventsOf = (action: string) =>
  query<{ event: string }>("SELECT convert_from(event, 'UTF8') AS event FROM audit_events WHERE action = $1", [action]);
const stateOf = async (id: string) =>
  (await query<{ state: string }>("SELECT state FROM key_tasks WHERE id = $1", [id]))[0]?.state;
const isDone = (id: string) => expect.poll(() => stateOf(id), { interval: 50 }).toBe("done");

it("a rewrap, killed between batches, in a batch and at its end, goes on by itself and ends once", async () => {
  const before = await everything();
  const unchanged = async () => {
    const now = await everything();
    expect(now.values).toEqual(before.values);
    expect(now.dataKeys).toEqual(before.dataKeys);
    // The server makes its key for the audit in its first minute.
    expect(sum(now.wrapped.values())).toBeGreaterThanOrEqual(sum(before.wrapped.values()));
    return now.wrapped.get(first.id) ?? 0;
  };
  const path = `/v1/keys/${first.id}:rewrap`;
  // At once after it was begun: nothing but the task is there.
  const { id } = await ask("POST", path, { perSecond: 12 });
  let left = sum(before.wrapped.values());
  for (let round = 0; round < killedInBatches; round += 1) {
    const enough = left - 6;
    const sql = "SELECT count(*)::int AS count FROM data_keys WHERE key_encryption_key_id = $1";
    const leftNow = async () => (await query<{ count: number }>(sql, [first.id]))[0]?.count ?? 0;
    await expect.poll(leftNow, { interval: 5 }).toBeLessThanOrEqual(enough);
    await killAndExpire();
    left = await unchanged();
    expect(left).toBeGreaterThan(0);
    if (round + 1 < killedInBatches) await start();
  }
  const lockDataKeys = { sql: "SELECT FROM data_keys WHERE key_encryption_key_id = $1 FOR UPDATE", values: [first.id] };
  await killWhileWaiting(lockDataKeys, "replace-wrapped", start);
  await unchanged();
  await query("UPDATE key_tasks SET per_second = 1000 WHERE id = $1", [id]);
  await killWhileWaiting(lockAudit, "audit-write-with", start);
  expect(await unchanged()).toBe(0);
  expect(await stateOf(id)).toBe("running");
  expect(await eventsOf("key.rewrapped")).toEqual([]);
  await start();
  await isDone(id);
  expect(await eventsOf("key.rewrapped")).toHaveLength(1);
  expect(await eventsOf("key.rewrap-started")).toHaveLength(1);
  expect((await ask("POST", `/v1/keys/${first.id}:retire`)).state).toBe("retired");
});

/** Writes until the server is gone. What was not acknowledged may be there or not. */
async function writeUntilLost(name: string): Promise<void> {
  try {
    for (;;) await put(name);
  } catch {
    // Killed, perhaps in the middle of this very answer.
  }
}

it("a data-key rotation under writers, killed at each step, goes on by itself, ends once and loses nothing", async () => {
  const [{ id: factoryId } = { id: "" }] = await query<{ id: string }>("SELECT id FROM factories WHERE name = 'f0'");
  const path = "/v1/factories/f0/data-keys:rotate";
  const checked = async () => {
    const now = await everything();
    // Older versions than the last ten are dropped.
    for (const [place, value] of acknowledged) expect([undefined, value]).toContain(now.values.get(place));
    for (const place of newestOfEach(acknowledged)) expect(now.values.has(place)).toBe(true);
    return now.dataKeys.get(factoryId) ?? [];
  };
  const old = await checked();
  // Before its first transaction has ended: then nothing has begun.
  let beginning: Promise<unknown> = Promise.resolve();
  await killWhileWaiting(lockAudit, "audit-write-with", () => {
    beginning = ask("POST", path, { perSecond: 60 }).catch(() => undefined);
  });
  await beginning;
  expect(await checked()).toEqual(old);
  await start();
  // So few that some are left after all kills, however slow the machine.
  const { id } = await ask("POST", path, { perSecond: 5 });
  for (let round = 0; round < killedInBatches; round += 1) {
    const writers = ["s0", "s1", "s2", `new-${round}`].map(writeUntilLost);
    const [{ done } = { done: 0 }] = await query<{ done: number }>("SELECT done FROM key_tasks WHERE id = $1", [id]);
    const doneNow = async () =>
      (await query<{ done: number }>("SELECT done FROM key_tasks WHERE id = $1", [id]))[0]?.done ?? 0;
    await expect.poll(doneNow, { interval: 5 }).toBeGreaterThan(Math.min(done, secrets / 2));
    await killAndExpire();
    await Promise.all(writers);
    expect((await checked()).length).toBeLessThanOrEqual(2);
    if (round + 1 < killedInBatches) await start();
  }
  expect(await stateOf(id)).toBe("running");
  await query("UPDATE key_tasks SET per_second = 10000 WHERE id = $1", [id]);
  await killWhileWaiting(lockAudit, "audit-write-with", start);
  // The old key was removed in the transaction that never ended.
  expect(await checked()).toHaveLength(2);
  await start();
  await isDone(id);
  expect(await eventsOf("data-key.replaced")).toHaveLength(1);
  expect(await eventsOf("data-key.resealed")).toHaveLength(1);
  const [kept, ...others] = await checked();
  expect(others).toEqual([]);
  expect(old).not.toContain(kept);
  await put("s0");
});

function newestOfEach(places: ReadonlyMap<string, string>): string[] {
  const newest = new Map<string, number>();
  for (const place of places.keys()) {
    const [, name = "", version = ""] = place.split("/");
    newest.set(name, Math.max(newest.get(name) ?? 0, Number(version)));
  }
  return [...newest].map(([name, version]) => `f0/${name}/${version}`);
}

it("a key that is known but has other bytes is found at boot", async () => {
  await query("UPDATE key_encryption_keys SET check_value = $2 WHERE id = $1", [second.id, randomBytes(32)]);
  server.signal("SIGTERM");
  await server.ended;
  const wrong = startServerProcess(settings());
  expect(await wrong.ended).toBe(1);
  expect(wrong.said()).toContain(`has the id ${second.id} that this database needs, but other bytes`);
});
