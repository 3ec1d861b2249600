import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../broker/brokered-factory.js";
import { watched } from "../support/leak-watch.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";
import { createStoredValues, type StoredValues } from "./stored-values.js";
import { allBatchNames, runLoad, type Seen } from "./writers.js";

const rounds = 20;
const password = watched("not-a-real-secret-crash-5e5e");

let broker: BrokeredFactory;
let stored: StoredValues;
beforeAll(async () => {
  broker = await startBrokeredFactory(({ docker }) => {
    const users = { ci: { password, rights: { "acme/app": ["pull"] } } } as const;
    docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
  });
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putConfig("- {type: generic, url: ghcr.io, generic_secret_name: ghcr_creds}\n");
  stored = await createStoredValues(broker.service, broker.factory.id);
});
afterAll(async () => {
  await endServerProcesses();
  await stored.close();
  await broker.close();
});

/** One life of a server: it comes up, is written to by fifty, and is killed in the middle. */
async function liveAndDie(round: number, job: string): Promise<Seen> {
  const { databaseUrl, key, operatorToken } = broker.service;
  const server = startServerProcess({
    DATABASE_URL: databaseUrl,
    FACTORY_SECRETS_KEY: key,
    FACTORY_SECRETS_LOG_LEVEL: "warn",
    ...broker.environment,
  });
  const url = await server.listening();
  const path = `/v1/factories/${broker.factory.name}`;
  const seen: Seen = { acknowledged: [], issued: [], failures: [] };
  const load = runLoad({ url, path, token: operatorToken, job, round }, seen);
  // In the middle of it, and not always at the same point.
  const enough = 100 + 17 * (round % 10);
  await vi.waitUntil(() => seen.acknowledged.length >= enough, { timeout: 15_000, interval: 2 });
  server.signal("SIGKILL");
  expect(await server.ended).toBe(null);
  await load;
  return seen;
}

it(`killed ${rounds} times in the middle of 50 writers, it loses no acknowledged write, halves no batch, and hands out no token without its row`, async () => {
  const { token: job } = await broker.openJob();
  let acknowledged = 0;
  let issued = 0;
  for (let round = 0; round < rounds; round += 1) {
    const seen = await liveAndDie(round, job);
    expect(seen.failures).toEqual([]);
    acknowledged += seen.acknowledged.length;
    issued += seen.issued.length;

    const current = await stored.currentVersions();
    for (const { name, version, value } of seen.acknowledged) {
      expect(current.get(name) ?? 0, `${name} in round ${round}`).toBeGreaterThanOrEqual(version);
      // Older ones than the last ten are dropped.
      if ((current.get(name) ?? 0) - version < 10) expect(await stored.open(name, version)).toBe(value);
    }
    for (const names of allBatchNames()) {
      const newest = await Promise.all(names.map(async (name) => stored.open(name, current.get(name) ?? 0)));
      expect(new Set(newest).size, `batch ${names[0]} in round ${round}`).toBe(1);
      expect(new Set(names.map((name) => current.get(name))).size).toBe(1);
    }
    const recorded = await stored.issuedRequestIds();
    expect(seen.issued.filter((requestId) => !recorded.has(requestId))).toEqual([]);
    // Each version that stands has its audit row, and no row tells of one that does not.
    expect(await stored.auditedVersions()).toEqual(current);
  }
  // A load that did nothing would prove nothing.
  expect(acknowledged).toBeGreaterThanOrEqual(rounds * 100);
  expect(issued).toBeGreaterThan(rounds);
}, 120_000);
