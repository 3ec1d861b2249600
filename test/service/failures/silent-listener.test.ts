import { afterAll, beforeAll, expect, it } from "vitest";
import { startChangeFeed } from "../../../src/db/change-feed.js";
import { openDatabase } from "../../../src/db/database.js";
import { Generations } from "../../../src/db/generations.js";
import { openLine } from "../../support/failures/line.js";
import { askedAnew } from "../../support/polled-anew.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
});
afterAll(() => service.close());

it("a LISTEN connection that has gone silent keeps no change from being seen within a second", async () => {
  const direct = new URL(service.databaseUrl);
  const port = Number(direct.port);
  const line = await openLine(() => port);
  direct.host = `127.0.0.1:${line.port}`;
  const database = openDatabase({ url: service.databaseUrl, connections: 2, onError: () => undefined });
  const generations = new Generations();
  const { id } = await service.createFactory();
  generations.observe(id, 1n);
  const onLost = (error: Error): void => {
    throw error;
  };
  const feed = startChangeFeed({
    ...{ directUrl: direct.href, pool: database.pool, generations, onLost },
    onDataKeys: () => undefined,
    onWithdrawn: () => undefined,
    onMissed: () => undefined,
  });
  const listening =
    "SELECT FROM pg_stat_activity WHERE application_name = 'factory-secrets changes' AND query LIKE 'LISTEN%' AND datname = current_database()";
  await expect.poll(async () => (await database.pool.query(listening)).rowCount).toBe(2);
  line.stall();
  const { rows } = await database.pool.query<{ generation: string }>(
    "UPDATE factories SET generation = generation + 100 WHERE id = $1 RETURNING generation",
    [id],
  );
  const before = BigInt(rows[0]?.generation ?? 0) - 1n;
  await askedAnew({ database }, "poll-generations");
  expect(generations.isCurrent(id, before)).toBe(false);
  line.close();
  await feed.close();
  await database.close();
});
