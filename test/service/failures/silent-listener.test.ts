import { afterAll, beforeAll, expect, it } from "vitest";
import { startChangeFeed } from "../../../src/db/change-feed.js";
import { openDatabase } from "../../../src/db/database.js";
import { Generations } from "../../../src/db/generations.js";
import { pollWithdrawals, Withdrawals, withdrawnCredential } from "../../../src/db/withdrawals.js";
import { openLine } from "../../support/failures/line.js";
import { polledAnew } from "../../support/polled-anew.js";
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
  const { id, name } = await service.createFactory();
  const token = await service.createApiToken(name, ["secrets:list"]);
  const withdrawals = new Withdrawals();
  const polling = pollWithdrawals(database.pool, withdrawals);
  generations.observe(id, 1n);
  const onLost = (error: Error): void => {
    throw error;
  };
  const feed = startChangeFeed({
    ...{ directUrl: direct.href, pool: database.pool, generations, onLost },
    onDataKeys: () => undefined,
    onWithdrawn: (subject) => withdrawals.observe(subject),
    onMissed: () => undefined,
  });
  const listening =
    "SELECT FROM pg_stat_activity WHERE application_name = 'factory-secrets changes' AND query LIKE 'LISTEN%' AND datname = current_database()";
  await expect.poll(async () => (await database.pool.query(listening)).rowCount).toBe(2);
  line.stall();
  await service.as(service.operatorToken).delete(`/v1/factories/${name}/api-tokens/${token.id}`).expect(204);
  const { rows } = await database.pool.query<{ generation: string }>(
    "UPDATE factories SET generation = generation + 100 WHERE id = $1 RETURNING generation",
    [id],
  );
  const before = BigInt(rows[0]?.generation ?? 0) - 1n;
  await polledAnew({ database });
  expect(generations.isCurrent(id, before)).toBe(false);
  expect(withdrawals.isRecent(withdrawnCredential(token.id))).toBe(true);
  line.close();
  polling.close();
  await feed.close();
  await database.close();
});
