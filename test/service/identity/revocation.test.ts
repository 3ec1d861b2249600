import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { polledAnew } from "../../support/polled-anew.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
let replica: TestService;
let factory: string;
beforeAll(async () => {
  // Replicas have one name, by which they know each other's access tokens.
  const environment = { FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" };
  service = await startOwnTestService(environment);
  replica = await startTestService(environment, service);
  factory = (await service.createFactory()).name;
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

const statusAt = async (through: TestService, token: string) => (await through.as(token).get("/v1/whoami")).status;

/** Expects the replica, which has just answered this token, to refuse it within the second that is promised. */
async function expectRefusedWithinASecond(token: string) {
  await polledAnew(replica);
  expect(await statusAt(replica, token)).toBe(401);
}

const listeners =
  "pg_stat_activity WHERE datname = current_database() AND application_name = 'factory-secrets changes'";

async function cutListenConnections() {
  const { rowCount } = await service.database.pool.query(`SELECT pg_terminate_backend(pid) FROM ${listeners}`);
  expect(rowCount).toBe(2);
}

async function untilTheyAreBack() {
  const count = async () => (await service.database.pool.query(`SELECT FROM ${listeners}`)).rowCount;
  await expect.poll(count).toBe(2);
}

describe("a withdrawal reaches another replica within a second", () => {
  const withdraw = (path: string) => service.as(service.operatorToken).delete(path).expect(204);

  it("for an API token and the jobs that it opened", async () => {
    const maker = await service.createApiToken(factory, ["jobs:create"]);
    const job = await service.as(maker.token).post(`/v1/factories/${factory}/jobs`).send({ name: "job" });
    for (const token of [maker.token, job.body.token]) expect(await statusAt(replica, token)).toBe(200);
    await withdraw(`/v1/factories/${factory}/api-tokens/${maker.id}`);
    await expectRefusedWithinASecond(maker.token);
    await expectRefusedWithinASecond(job.body.token);
    expect(await statusAt(service, maker.token)).toBe(401);
  });

  it("for an OAuth client, its access tokens and the jobs that they opened", async () => {
    const clients = `/v1/factories/${factory}/oauth-clients`;
    const operator = service.as(service.operatorToken);
    const { body: client } = await operator.post(clients).send({ name: "builds", permissions: ["jobs:create"] });
    const asked = { grant_type: "client_credentials", client_id: client.id, client_secret: client.clientSecret };
    const { body: session } = await service.as(undefined).post("/oauth/token/").type("form").send(asked);
    const job = await service.as(session.access_token).post(`/v1/factories/${factory}/jobs`).send({ name: "job" });
    for (const token of [session.access_token, job.body.token]) expect(await statusAt(replica, token)).toBe(200);
    await withdraw(`${clients}/${client.id}`);
    await expectRefusedWithinASecond(session.access_token);
    await expectRefusedWithinASecond(job.body.token);
    expect(await statusAt(service, session.access_token)).toBe(401);
  });

  it("for a job", async () => {
    const job = await service.openJob(factory);
    expect(await statusAt(replica, job.token)).toBe(200);
    await withdraw(`/v1/factories/${factory}/jobs/${job.id}`);
    await expectRefusedWithinASecond(job.token);
  });

  it("for an operator token and the jobs that it opened", async () => {
    const made = await service.as(service.operatorToken).post("/v1/operator-tokens").send({ name: "second" });
    const job = await service.as(made.body.token).post(`/v1/factories/${factory}/jobs`).send({ name: "job" });
    for (const { body } of [made, job]) expect(await statusAt(replica, body.token)).toBe(200);
    await withdraw(`/v1/operator-tokens/${made.body.id}`);
    await expectRefusedWithinASecond(made.body.token);
    await expectRefusedWithinASecond(job.body.token);
  });

  it("for all credentials of a factory that is deleted", async () => {
    const { name } = await service.createFactory();
    const { token } = await service.createApiToken(name, ["secrets:list"]);
    expect(await statusAt(replica, token)).toBe(200);
    await withdraw(`/v1/factories/${name}`);
    await expectRefusedWithinASecond(token);
  });

  it("also while the LISTEN connection is lost, and after it came back", async () => {
    const meanwhile = [cutListenConnections, async () => undefined, untilTheyAreBack];
    for (const wait of meanwhile) {
      const job = await service.openJob(factory);
      expect(await statusAt(replica, job.token)).toBe(200);
      await wait();
      await withdraw(`/v1/factories/${factory}/jobs/${job.id}`);
      await expectRefusedWithinASecond(job.token);
    }
    expect(replica.logLines.join()).toContain("LISTEN connection was lost");
  });
});

describe("operator tokens", () => {
  const operatorTokens = "/v1/operator-tokens";
  const ids = async (): Promise<string[]> => {
    const { body } = await service.as(service.operatorToken).get(operatorTokens).query({ pageSize: 200 });
    return body.items.map(({ id }: { id: string }) => id);
  };
  const make = async () => (await service.as(service.operatorToken).post(operatorTokens).send({ name: "more" })).body;

  it("that an operator token made live on without it, and so do API tokens", async () => {
    const maker = await make();
    const child = await service.as(maker.token).post(operatorTokens).send({ name: "child" });
    const api = await service
      .as(maker.token)
      .post(`/v1/factories/${factory}/api-tokens`)
      .send({ name: "api", permissions: ["secrets:list"] });
    await service.as(service.operatorToken).delete(`${operatorTokens}/${maker.id}`).expect(204);
    for (const { body } of [child, api]) expect(await statusAt(service, body.token)).toBe(200);
  });

  it("never run out: the last is kept, also when all are withdrawn at once through two replicas", async () => {
    const tokens = [await make(), await make(), await make()];
    const own = (await service.as(service.operatorToken).get("/v1/whoami")).body.id;
    const others = (await ids()).filter((id) => id !== own && tokens.every((token) => token.id !== id));
    for (const id of others) await service.as(service.operatorToken).delete(`${operatorTokens}/${id}`).expect(204);
    const targets = [own, ...tokens.map(({ id }) => id)];
    // Each withdraws its neighbour, so that nobody saws off the branch it sits on before it has sawn.
    const callers = [tokens[0].token, tokens[1].token, tokens[2].token, service.operatorToken];
    const replies = await Promise.all(
      targets.map((id, index) => (index % 2 ? replica : service).as(callers[index]).delete(`${operatorTokens}/${id}`)),
    );
    const { rows } = await service.database.pool.query<{ left: string }>(
      "SELECT count(*) AS left FROM credentials WHERE kind = 'operator' AND revoked_at IS NULL",
    );
    expect(Number(rows[0]?.left)).toBe(targets.length - replies.filter(({ status }) => status === 204).length);
    expect(Number(rows[0]?.left)).toBeGreaterThan(0);
  });
});

describe("the last operator token", () => {
  it("is refused its own withdrawal, by name", async () => {
    const alone = await startOwnTestService();
    try {
      const { body } = await alone.as(alone.operatorToken).get("/v1/whoami");
      const reply = await alone.as(alone.operatorToken).delete(`/v1/operator-tokens/${body.id}`);
      expectProblem(reply, "last-operator-token");
      expect(await statusAt(alone, alone.operatorToken)).toBe(200);
    } finally {
      await alone.close();
    }
  });
});
