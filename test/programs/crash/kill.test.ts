import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { createStoredValues, type StoredValues } from "../../support/crash/stored-values.js";
import { watched } from "../../support/leak-watch.js";
import { roundsOf } from "../../support/rounds.js";
import { endServerProcesses, type ServerProcess, startServerProcess } from "./server-process.js";
import { allBatchNames, runLoad, type Seen } from "./writers.js";

const rounds = roundsOf(4, 20);
const password = watched("not-a-real-secret-crash-5e5e");

let broker: BrokeredFactory;
let stored: StoredValues;
beforeAll(async () => {
  const openRegistry = ({ docker }: StandInClouds) => {
    const users = { ci: { password, rights: { "acme/app": ["pull"] } } } as const;
    docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
  };
  broker = await startBrokeredFactory(openRegistry, {}, "a new database");
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putConfig("- {type: generic, url: ghcr.io, generic_secret_name: ghcr_creds}\n");
  stored = await createStoredValues(broker.service, broker.factory.id);
});
afterAll(async () => {
  await endServerProcesses();
  await stored.close();
  await broker.close();
});

function startServer(): ServerProcess {
  const { databaseUrl, key } = broker.service;
  const settings = { DATABASE_URL: databaseUrl, FACTORY_SECRETS_KEY: key, FACTORY_SECRETS_LOG_LEVEL: "warn" };
  return startServerProcess({ ...settings, ...broker.environment });
}

/** The server is written to by fifty, and killed in the middle. */
async function liveAndDie(server: ServerProcess, round: number, job: string): Promise<Seen> {
  const path = `/v1/factories/${broker.factory.name}`;
  const seen: Seen = { acknowledged: [], issued: [], failures: [] };
  const load = runLoad({ url: await server.listening(), path, token: broker.service.operatorToken, job, round }, seen);
  // Not always at the same point.
  const enough = 60 + 11 * (round % 10);
  await vi.waitUntil(() => seen.acknowledged.length >= enough && seen.issued.length >= round % 3, {
    timeout: 120_000,
    interval: 2,
  });
  server.signal("SIGKILL");
  expect(await server.ended).toBe(null);
  await load;
  return seen;
}

async function checkAcknowledged(seen: Seen, current: ReadonlyMap<string, number>): Promise<void> {
  // Older versions than the last ten are dropped.
  const kept = seen.acknowledged.filter(({ name, version }) => (current.get(name) ?? 0) - version < 10);
  const opened = await Promise.all(kept.map(({ name, version }) => stored.open(name, version)));
  expect(opened).toEqual(kept.map(({ value }) => value));
  const lost = seen.acknowledged.filter(({ name, version }) => (current.get(name) ?? 0) < version);
  expect(lost).toEqual([]);
}

async function checkBatches(current: ReadonlyMap<string, number>): Promise<void> {
  for (const names of allBatchNames()) {
    const versions = names.map((name) => current.get(name) ?? 0);
    expect(new Set(versions).size, `versions of ${names[0]} and its batch`).toBe(1);
    const values = await Promise.all(names.map((name, n) => stored.open(name, versions[n] ?? 0)));
    expect(new Set(values).size, `values of ${names[0]} and its batch`).toBe(1);
  }
}

it(`killed ${rounds} times in the middle of 50 writers, it loses no acknowledged write, halves no batch, and hands out no token without its row`, async () => {
  const { token: job } = await broker.openJob();
  let acknowledged = 0;
  let issued = 0;
  let server = startServer();
  for (let round = 0; round < rounds; round += 1) {
    const seen = await liveAndDie(server, round, job);
    // The next one comes up while the last one's traces are read.
    if (round + 1 < rounds) server = startServer();
    expect(seen.failures).toEqual([]);
    acknowledged += seen.acknowledged.length;
    issued += seen.issued.length;
    const { current, audited } = await stored.versions();
    await checkAcknowledged(seen, current);
    await checkBatches(current);
    const recorded = await stored.issuedRequestIds();
    expect(seen.issued.filter((requestId) => !recorded.has(requestId))).toEqual([]);
    // Each version that stands has its audit row, and no row tells of one that does not.
    expect(audited).toEqual(current);
  }
  // A load that did nothing would prove nothing.
  expect(acknowledged).toBeGreaterThanOrEqual(rounds * 60);
  expect(issued).toBeGreaterThanOrEqual(rounds / 2);
});
