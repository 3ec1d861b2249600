import { afterAll, beforeAll, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";

const publishers = 8;
const turns = 20;
const names = ["a", "b", "c", "d"];
/** As Postgres knows the publisher's connections. */
const publisherName = "publisher-of-configs";
let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
});
afterAll(() => service.close());

it("publishers of one factory take turns: none of them waits for another in a circle", async () => {
  const factory = await service.createFactory();
  const path = `/v1/factories/${factory.name}`;
  const secrets = names.map((name) => ({ name, value: secretValue(name) }));
  const put = await service.as(service.operatorToken).post(`${path}/secrets:batch`).send({ secrets });
  expect(put.status).toBe(200);
  const { databaseUrl, key } = service;
  const named = { databaseUrl: `${databaseUrl}?application_name=${publisherName}`, key };
  const publisher = await startTestService({}, named);
  const seen = "SELECT FROM pg_stat_activity WHERE application_name = $1";
  expect((await service.database.pool.query(seen, [publisherName])).rowCount).toBeGreaterThan(0);
  const loops = Array.from({ length: publishers }, () => publishInTurn(publisher, `${path}/config`));
  const statuses = (await Promise.all(loops)).flat();
  await publisher.close();
  expect(statuses.filter((status) => status !== 200 && status !== 201)).toEqual([]);
  expect(await deadlocksOnceAllAreCounted()).toBe(0);
});

async function publishInTurn({ as, operatorToken }: TestService, path: string): Promise<number[]> {
  const statuses: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const request = as(operatorToken).put(path).set("Content-Type", "application/yaml");
    statuses.push((await request.send(documentOf(names.filter(() => Math.random() < 0.5)))).status);
  }
  return statuses;
}

const documentOf = (named: readonly string[]): string =>
  named.length === 0
    ? "container_registries: []\n"
    : named.map((name) => `- type: generic\n  url: ${name}.example.com\n  generic_secret_name: ${name}\n`).join("");

/** A connection has reported its deadlocks when it has ended, so those of the publisher must be gone. */
async function deadlocksOnceAllAreCounted(): Promise<number | undefined> {
  const { pool } = service.database;
  const left = "SELECT FROM pg_stat_activity WHERE application_name = $1";
  await expect.poll(async () => (await pool.query(left, [publisherName])).rowCount).toBe(0);
  const { rows } = await pool.query<{ deadlocks: number }>(
    "SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()",
  );
  return rows[0]?.deadlocks;
}
