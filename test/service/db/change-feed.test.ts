import { createServer } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type ChangeFeed, startChangeFeed } from "../../../src/db/change-feed.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { Generations } from "../../../src/db/generations.js";
import { deafen } from "../../support/deafen.js";
import { freePort } from "../../support/free-port.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";

let testDatabase: TestDatabase;
let database: Database;
let feed: ChangeFeed;
beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 2, onError: () => undefined });
});
afterEach(async () => {
  vi.useRealTimers();
  await feed.close();
  await database.close();
  await testDatabase.drop();
});

it("asks what has changed every half a second, by a clock of its own, also when nothing can LISTEN", async () => {
  const polls = vi.spyOn(database.pool, "query");
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  feed = startChangeFeed({
    // Nobody listens there.
    directUrl: "postgres://nobody@127.0.0.1:1/nothing",
    pool: database.pool,
    generations: new Generations(),
    onDataKeys: () => undefined,
    onWithdrawn: () => undefined,
    onMissed: () => undefined,
    onLost: () => undefined,
  });
  for (let count = 1; count <= 4; count += 1) {
    vi.advanceTimersByTime(499);
    expect(polls).toHaveBeenCalledTimes(count - 1);
    vi.advanceTimersByTime(1);
    expect(polls).toHaveBeenCalledTimes(count);
    await polls.mock.results.at(-1)?.value;
    // A new question is not asked before the last one's answer was looked at.
    await new Promise((resolve) => setImmediate(resolve));
  }
});

it("goes on listening when a poll fails, and says once that it cannot listen", async () => {
  const lost: Error[] = [];
  const heard: string[] = [];
  const polls = vi.spyOn(database.pool, "query").mockImplementation(() => {
    throw Object.assign(new Error("no connection is free"), { code: "53300" });
  });
  feed = startChangeFeed({
    directUrl: testDatabase.url,
    pool: database.pool,
    generations: new Generations(),
    onDataKeys: (factoryId) => heard.push(factoryId),
    onWithdrawn: () => undefined,
    onMissed: () => undefined,
    onLost: (error) => lost.push(error),
  });
  await expect.poll(() => polls.mock.calls.length).toBeGreaterThan(2);
  polls.mockRestore();
  await database.pool.query("SELECT pg_notify('factory_secrets_data_keys', 'kept')");
  await expect.poll(() => heard).toEqual(["kept"]);
  expect(lost).toEqual([]);
  await feed.close();
  let attempts = 0;
  const port = await freePort();
  const hangingUp = createServer((socket) => {
    attempts += 1;
    socket.destroy();
  }).listen(port, "127.0.0.1");
  const away = `postgres://nobody@127.0.0.1:${port}/nothing`;
  const refused: Error[] = [];
  feed = startChangeFeed({
    ...{ directUrl: away, pool: database.pool, generations: new Generations() },
    onDataKeys: () => undefined,
    onWithdrawn: () => undefined,
    onMissed: () => undefined,
    onLost: (error) => refused.push(error),
  });
  await expect.poll(() => attempts).toBe(3);
  expect(refused).toHaveLength(1);
  hangingUp.close();
});

it("says that something may have been missed once it listens again, and hears what comes then", async () => {
  let missed = 0;
  const heard: string[] = [];
  feed = startChangeFeed({
    directUrl: testDatabase.url,
    pool: database.pool,
    generations: new Generations(),
    onDataKeys: (factoryId) => heard.push(factoryId),
    onWithdrawn: () => undefined,
    onMissed: () => {
      missed += 1;
    },
    onLost: () => undefined,
  });
  for (const times of [1, 2]) {
    await expect.poll(() => missed).toBe(times);
    await database.pool.query("SELECT pg_notify('factory_secrets_data_keys', $1)", [String(times)]);
    await expect.poll(() => heard.at(-1)).toBe(String(times));
    await deafen({ database });
  }
});
