import { afterAll, beforeAll, expect, it } from "vitest";
import { polledAnew } from "../../support/polled-anew.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { login, makeClient, refresh } from "./oauth-factory.js";

const own = "clients-own";
const clients = `/v1/factories/${own}/oauth-clients`;
let service: TestService;
let replica: TestService;

beforeAll(async () => {
  const environment = {
    FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test",
    FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "0",
  };
  service = await startTestService(environment);
  replica = await startTestService(environment, service);
  await service.createFactory(own);
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

const operator = () => service.as(service.operatorToken);

it("shows a secret once, and a client without it", async () => {
  const client = await makeClient(service, own, { roles: ["developer"] });
  const one = await operator().get(`${clients}/${client.id}`).expect(200);
  expect(one.body).toMatchObject({ id: client.id, roles: ["developer"], secrets: [{ id: client.secretId }] });
  const list = await operator().get(clients).expect(200);
  expect(list.body.items).toContainEqual(one.body);
});

it("makes none with more than its maker has, nor with a longer life", async () => {
  const maker = await service.createApiToken(own, ["access:write", "secrets:list"]);
  const make = (body: object) =>
    service
      .as(maker.token)
      .post(clients)
      .send({ name: "a client", ...body });
  await make({ permissions: ["secrets:list", "secrets:write"] }).expect(403);
  await make({ roles: ["admin"] }).expect(403);
  await make({}).expect(400);
  const late = new Date(Date.now() + 7_200_000).toISOString();
  const brief = await service.createApiToken(own, ["access:write", "secrets:list"]);
  await service.database.pool.query("UPDATE credentials SET expires_at = now() + interval '1 hour' WHERE id = $1", [
    brief.id,
  ]);
  const body = { name: "a client", permissions: ["secrets:list"] };
  await service
    .as(brief.token)
    .post(clients)
    .send({ ...body, expiresAt: late })
    .expect(403);
  const made = await service.as(brief.token).post(clients).send(body).expect(201);
  expect(Date.parse(made.body.expiresAt)).toBeLessThan(Date.parse(late));
});

it("has two secrets at most, and never none", async () => {
  const client = await makeClient(service, own, { permissions: ["secrets:list"] });
  const secrets = `${clients}/${client.id}/secrets`;
  const second = await service.as(service.operatorToken).post(secrets).expect(201);
  const { id, clientSecret } = second.body;
  expect((await operator().post(secrets).expect(422)).body.code).toBe("limit-reached");
  for (const secret of [client.secret, clientSecret]) {
    expect((await login(service, { ...client, secret })).status).toBe(200);
  }
  await operator().delete(`${secrets}/${client.secretId}`).expect(204);
  expect((await login(replica, client)).status).toBe(401);
  expect((await login(replica, { ...client, secret: clientSecret })).status).toBe(200);
  expect((await operator().delete(`${secrets}/${id}`).expect(409)).body.code).toBe("conflict");
  await operator().delete(`${secrets}/${client.secretId}`).expect(404);
});

it("adds no third secret, however many ask at once, and leaves one when both are removed at once", async () => {
  const client = await makeClient(service, own, { permissions: ["secrets:list"] });
  const secrets = `${clients}/${client.id}/secrets`;
  const ask = (one: TestService) => one.as(one.operatorToken).post(secrets);
  const added = await Promise.all([ask(service), ask(replica), ask(service), ask(replica)]);
  expect(added.map(({ status }) => status).sort()).toEqual([201, 422, 422, 422]);
  const ids: string[] = (await operator().get(`${clients}/${client.id}`)).body.secrets.map(
    ({ id }: { id: string }) => id,
  );
  expect(ids).toHaveLength(2);
  const removed = await Promise.all(ids.map((id) => operator().delete(`${secrets}/${id}`)));
  expect(removed.map(({ status }) => status).sort()).toEqual([204, 409]);
});

it("gives no secret of a client that may do more, or lives longer, than who asks", async () => {
  const client = await makeClient(service, own, { permissions: ["secrets:list", "secrets:write"] });
  const lesser = await service.createApiToken(own, ["access:write", "secrets:list"]);
  const refused = await service.as(lesser.token).post(`${clients}/${client.id}/secrets`).expect(403);
  expect(refused.body.detail).toContain("secrets:write");
  const brief = await service.createApiToken(own, ["access:write", "secrets:list", "secrets:write"]);
  await service.database.pool.query("UPDATE credentials SET expires_at = now() + interval '1 hour' WHERE id = $1", [
    brief.id,
  ]);
  await service.as(brief.token).post(`${clients}/${client.id}/secrets`).expect(403);
});

it("lets a client rotate its own secret", async () => {
  const client = await makeClient(service, own, { permissions: ["access:read", "access:write"] });
  const { access_token: token } = (await login(service, client)).body;
  const { body } = await service.as(token).post(`${clients}/${client.id}/secrets`).expect(201);
  expect((await login(service, { ...client, secret: body.clientSecret })).status).toBe(200);
});

it("ends with its sessions, their tokens and their jobs, at once on this replica and within a second on the other", async () => {
  const client = await makeClient(service, own, { permissions: ["secrets:list", "jobs:create"] });
  const { access_token: token, refresh_token: refreshToken } = (await login(service, client)).body;
  const job = await service.as(token).post(`/v1/factories/${own}/jobs`).send({ name: "a job" }).expect(201);
  for (const one of [token, job.body.token]) {
    for (const where of [service, replica]) await where.as(one).get("/v1/whoami").expect(200);
  }
  await operator().delete(`${clients}/${client.id}`).expect(204);
  for (const one of [token, job.body.token]) await service.as(one).get("/v1/whoami").expect(401);
  expect((await refresh(replica, client, refreshToken)).status).toBe(401);
  await polledAnew(replica);
  for (const one of [token, job.body.token]) await replica.as(one).get("/v1/whoami").expect(401);
  await operator().delete(`${clients}/${client.id}`).expect(404);
});

it("leaves no job alive that a session opened while its client was withdrawn", async () => {
  for (let round = 0; round < 4; round += 1) {
    const client = await makeClient(service, own, { permissions: ["jobs:create"] });
    const { access_token: token } = (await login(service, client)).body;
    const open = async () => (await service.as(token).post(`/v1/factories/${own}/jobs`).send({ name: "a job" })).status;
    const first = Array.from({ length: 10 }, open);
    await Promise.race(first);
    const withdrawn = operator()
      .delete(`${clients}/${client.id}`)
      .then(({ status }) => status);
    const statuses = await Promise.all([...first, ...Array.from({ length: 10 }, open)]);
    expect(await withdrawn).toBe(204);
    expect(statuses.filter((status) => status !== 201 && status !== 401)).toEqual([]);
    const { rows } = await service.database.pool.query(
      `SELECT FROM credentials job JOIN credentials session ON session.id = job.parent_id
       WHERE session.parent_id = $1 AND (job.revoked_at IS NULL OR session.revoked_at IS NULL)`,
      [client.id],
    );
    expect(rows).toHaveLength(0);
  }
});
