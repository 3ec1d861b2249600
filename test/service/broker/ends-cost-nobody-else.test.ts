import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { openLine } from "../../support/failures/line.js";
import { watched } from "../../support/leak-watch.js";
import { createTestDatabase } from "../../support/test-database.js";
import { startTestService, type TestService } from "../../support/test-service.js";

const password = watched("not-a-real-secret-ends-7c1d");
const demand = { registry: "ghcr.io", repositories: ["acme/app"] };
const ends = 100;
const perSecond = 50;
const askers = 6;

async function startFactory(on?: { databaseUrl: string; key: string }): Promise<BrokeredFactory> {
  const broker = await startBrokeredFactory(
    ({ docker }) => {
      const users = { first: { password, rights: { "acme/app": ["pull"] } } } as const;
      docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
    },
    {},
    on,
  );
  await broker.putSecret("ghcr_creds", `first:${password}`);
  await broker.putConfig("container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n");
  return broker;
}

async function generations({ service, factory }: BrokeredFactory): Promise<string[]> {
  const { rows } = await service.database.pool.query<{ generation: string }>(
    "SELECT generation FROM factories WHERE id = $1 UNION ALL SELECT generation FROM installation",
    [factory.id],
  );
  return rows.map(({ generation }) => generation);
}

describe.each([0, 25])("with %s ms to the database in each direction", (delayMs) => {
  it(`refuses no token while jobs of the factory end, ${perSecond} a second`, { timeout: 60_000 }, async () => {
    const testDatabase = await createTestDatabase();
    const direct = new URL(testDatabase.url);
    const line = await openLine(() => Number(direct.port), delayMs);
    const slow = new URL(testDatabase.url);
    slow.host = `127.0.0.1:${line.port}`;
    const key = randomBytes(32).toString("base64");
    const near = await startFactory({ databaseUrl: direct.href, key });
    const far: TestService = await startTestService(near.environment, { databaseUrl: slow.href, key });
    try {
      const jobs = await Promise.all(Array.from({ length: ends + askers }, () => near.openJob()));
      const asking = jobs.slice(ends);
      for (const { token } of asking) expect((await near.ask(token, demand, far)).status).toBe(200);
      const before = await generations(near);
      const operator = far.as(far.operatorToken);
      let isOver = false;
      const answers: number[] = [];
      const asked = asking.map(async ({ token }) => {
        while (!isOver) answers.push((await near.ask(token, demand, far)).status);
      });
      const ending = jobs.slice(0, ends).map(async ({ id }, index) => {
        await sleep((index * 1_000) / perSecond);
        return (await operator.delete(`/v1/factories/${near.factory.name}/jobs/${id}`)).status;
      });
      const ended = await Promise.all(ending);
      isOver = true;
      await Promise.all(asked);
      expect(new Set(ended)).toEqual(new Set([204]));
      expect(new Set(answers)).toEqual(new Set([200]));
      expect(answers.length).toBeGreaterThan(20);
      expect(await generations(near)).toEqual(before);
    } finally {
      await far.close();
      line.close();
      await near.close();
      await testDatabase.drop();
    }
  });
});

describe("the generation", () => {
  let broker: BrokeredFactory;
  beforeAll(async () => {
    broker = await startFactory();
  });
  afterAll(() => broker.close());
  const operator = () => broker.service.as(broker.service.operatorToken);
  const path = () => `/v1/factories/${broker.factory.name}`;
  const made = async (where: string, body: object) => (await operator().post(where).send(body).expect(201)).body;
  const deviceId = "1f5a2b1e-5ad4-4c43-8a0a-0d1e2f3a4b5c";

  it.each<[string, () => Promise<string>]>([
    ["job", async () => `${path()}/jobs/${(await broker.openJob()).id}`],
    [
      "API token",
      async () =>
        `${path()}/api-tokens/${(await broker.service.createApiToken(broker.factory.name, ["registry-tokens:issue"])).id}`,
    ],
    ["operator token", async () => `/v1/operator-tokens/${(await made("/v1/operator-tokens", { name: "short" })).id}`],
    [
      "OAuth client",
      async () => {
        const client = { name: "ci", permissions: ["registry-tokens:issue"] };
        return `${path()}/oauth-clients/${(await made(`${path()}/oauth-clients`, client)).id}`;
      },
    ],
    ["denial", async () => `${path()}/denied-devices/${(await made(`${path()}/denied-devices`, { deviceId })).id}`],
  ])("stays as it is when a %s is made and withdrawn", async (_, make) => {
    const before = await generations(broker);
    await operator()
      .delete(await make())
      .expect(204);
    expect(await generations(broker)).toEqual(before);
  });

  it("stays as it is through the whole life of a secret that no entry names", async () => {
    const before = await generations(broker);
    const secret = `${path()}/secrets/of_no_entry`;
    for (const value of ["not-a-real-secret-one", "not-a-real-secret-two"])
      await broker.putSecret("of_no_entry", value);
    await operator().post(`${secret}:rollback`).send({}).expect(200);
    await operator().delete(secret).expect(204);
    await operator().post(`${secret}:undelete`).send({}).expect(200);
    await operator().delete(`${secret}?purge=true`).expect(204);
    expect(await generations(broker)).toEqual(before);
  });

  it("is raised when a secret comes back that an entry names", async () => {
    const secret = `${path()}/secrets/ghcr_creds`;
    for (const change of [
      () => operator().delete(`${secret}?force=true`),
      () => operator().post(`${secret}:undelete`).send({}),
      () => operator().delete(`${secret}?force=true&purge=true`),
      () =>
        operator()
          .put(secret)
          .send({ value: `first:${password}` }),
      () =>
        operator()
          .put(secret)
          .send({ value: `first:${password}-2` }),
    ]) {
      const [before] = await generations(broker);
      expect((await change()).status).toBeLessThan(300);
      const [after] = await generations(broker);
      expect(BigInt(after ?? 0)).toBeGreaterThan(BigInt(before ?? 0));
    }
  });
});
