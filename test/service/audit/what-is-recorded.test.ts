import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventActions } from "../../../src/audit/events.js";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

type Event = Record<string, unknown> & { id: string; at: string; action: string };

let service: TestService;
let factory: { id: string; name: string };
let path: string;
let operator: ReturnType<TestService["as"]>;
let me: { kind: string; id: string; name: string };

beforeAll(async () => {
  service = await startOwnTestService();
  operator = service.as(service.operatorToken);
  const { body } = await operator.get("/v1/whoami");
  me = { kind: body.kind, id: body.id, name: body.name };
});
beforeEach(async () => {
  const { id, name } = await service.createFactory();
  factory = { id, name };
  path = `/v1/factories/${name}`;
});
afterAll(() => service.close());

async function events(query: Record<string, string> = {}): Promise<Event[]> {
  const { body } = await operator.get(`${path}/audit`).query(query).expect(200);
  return body.items;
}

/** The newest event, with what every event of an allowed request must have. */
async function expectRecorded(clientRequestId: string, expected: Record<string, unknown>) {
  const [newest] = await events();
  expect(newest).toMatchObject({
    outcome: "allowed",
    actor: me,
    factory,
    requestId: expect.stringMatching(/^[0-9a-f]{32}$/),
    clientRequestId,
    address: "127.0.0.1",
    ...expected,
  });
}

describe("an allowed request leaves its event", () => {
  const withId = (id: string) => ({ "X-Request-Id": id });

  it("factory.created", async () => {
    expect(await events()).toMatchObject([{ action: "factory.created", actor: me, factory }]);
  });

  it("secret.written and secret.deleted", async () => {
    await operator.put(`${path}/secrets/a`).set(withId("write-1")).send({ value: secretValue() });
    await expectRecorded("write-1", { action: "secret.written", secret: "a", secretVersion: 1, via: "api" });
    await operator.delete(`${path}/secrets/a`).set(withId("delete-1"));
    await expectRecorded("delete-1", { action: "secret.deleted", secret: "a", via: "api" });
  });

  it("api-token.created and api-token.revoked", async () => {
    const made = { name: "ci", permissions: ["jobs:create"], expiresAt: "2030-01-01T00:00:00.000Z" };
    const { body } = await operator.post(`${path}/api-tokens`).set(withId("token-1")).send(made);
    const credential = { id: body.id, name: "ci" };
    const { permissions, expiresAt } = made;
    await expectRecorded("token-1", { action: "api-token.created", credential, permissions, expiresAt });
    await operator.delete(`${path}/api-tokens/${body.id}`).set(withId("token-2"));
    await expectRecorded("token-2", { action: "api-token.revoked", credential });
  });

  it("job.opened and job.ended", async () => {
    const grants = [{ registry: "ghcr.io", repositories: ["team/app"], actions: ["pull"] }];
    const { body } = await operator.post(`${path}/jobs`).set(withId("job-1")).send({ name: "build", grants });
    const credential = { id: body.id, name: "build" };
    await expectRecorded("job-1", { action: "job.opened", credential, grants, expiresAt: body.expiresAt });
    await operator.delete(`${path}/jobs/${body.id}`).set(withId("job-2"));
    await expectRecorded("job-2", { action: "job.ended", credential });
  });

  it("config.published and destination.approved", async () => {
    await operator.put(`${path}/secrets/a`).send({ value: `user:${secretValue()}` });
    const config = "- type: generic\n  url: ghcr.io\n  generic_secret_name: a\n";
    const put = operator
      .put(`${path}/config?reason=first`)
      .set({ "Content-Type": "application/yaml", ...withId("config-1") });
    await put.send(config).expect(201);
    const [approved, published] = await events();
    expect(published).toMatchObject({
      action: "config.published",
      configVersion: 1,
      reason: "first",
      clientRequestId: "config-1",
    });
    expect(approved).toMatchObject({
      action: "destination.approved",
      secret: "a",
      registryType: "generic",
      host: "ghcr.io",
    });
  });

  it("operator-token.created and operator-token.revoked, in the installation's list only", async () => {
    const { body } = await operator.post("/v1/operator-tokens").send({ name: "second" });
    await operator.delete(`/v1/operator-tokens/${body.id}`).expect(204);
    const list = await operator.get("/v1/audit?pageSize=2");
    const credential = { id: body.id, name: "second" };
    expect(list.body.items).toMatchObject([
      { action: "operator-token.revoked", credential, actor: me },
      { action: "operator-token.created", credential, actor: me },
    ]);
    expect(await events()).toHaveLength(1);
  });

  it("and a request that changes nothing leaves none", async () => {
    await operator.get(`${path}/secrets`).expect(200);
    expectProblem(await operator.put(`${path}/secrets/a`).send({ value: "" }), "invalid-request");
    expectProblem(await operator.delete(`${path}/secrets/a`), "not-found");
    expectProblem(
      await operator.put(`${path}/secrets/a`).set("If-Match", '"1"').send({ value: "x" }),
      "precondition-failed",
    );
    expect((await events()).map(({ action }) => action)).toEqual(["factory.created"]);
  });
});

describe("a refusal", () => {
  it("of a known caller is a row at once", async () => {
    const { id, token } = await service.createApiToken(factory.name, ["audit:read"]);
    expectProblem(await service.as(token).get(`${path}/secrets`), "forbidden");
    const refused = await events({ action: "request.refused" });
    const expected = {
      outcome: "refused",
      route: "listSecrets",
      code: "forbidden",
      actor: { kind: "api-token", id },
      factory,
    };
    expect(refused).toMatchObject([expected]);
  });

  it("of another factory's credential is kept in that factory, and does not name this one", async () => {
    const other = await service.createFactory();
    const { id, token } = await service.createApiToken(other.name, ["secrets:list"]);
    expectProblem(await service.as(token).get(`${path}/secrets`), "not-found");
    expect(await events({ actor: id })).toEqual([]);
    const { body } = await operator.get(`/v1/factories/${other.name}/audit`).query({ actor: id });
    expect(body.items).toMatchObject([{ action: "request.refused", code: "not-found", factory: { id: other.id } }]);
    expect(JSON.stringify(body)).not.toContain(factory.name);
  });

  it("of unknown callers is counted: one row for an address, written when the service stops", async () => {
    const stopping = await startTestService({}, service);
    for (let round = 0; round < 7; round += 1)
      await stopping
        .as(round % 2 ? "garbage" : undefined)
        .get("/v1/whoami")
        .expect(401);
    await stopping.close();
    const { body } = await operator.get("/v1/audit").query({ action: "authentication.refused" });
    expect(body.items).toMatchObject([
      { outcome: "refused", count: 7, address: "127.0.0.1", actor: { kind: "unknown", id: "", name: "" } },
    ]);
  });
});

it("counts unknown callers for each address, as far as the proxies in front are trusted", async () => {
  const trusting = await startTestService({ FACTORY_SECRETS_TRUSTED_PROXIES: "127.0.0.1" }, service);
  for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.1"]) {
    await trusting.as("garbage").get("/v1/whoami").set("X-Forwarded-For", address).expect(401);
  }
  await service.as("garbage").get("/v1/whoami").set("X-Forwarded-For", "192.0.2.3").expect(401);
  await trusting.close();
  const { body } = await operator.get("/v1/audit").query({ action: "authentication.refused" });
  const counted = body.items.map(({ address, count }: Event) => [address, count]);
  expect(counted).toEqual(
    expect.arrayContaining([
      ["192.0.2.1", 2],
      ["192.0.2.2", 1],
    ]),
  );
  expect(JSON.stringify(counted)).not.toContain("192.0.2.3");
});

describe("the list is filtered", () => {
  it("by outcome, registry and time, and by a registry that only a grant names", async () => {
    const { token } = await service.createApiToken(factory.name, ["audit:read"]);
    expectProblem(await service.as(token).get(`${path}/secrets`), "forbidden");
    expect((await events({ outcome: "refused" })).map(({ action }) => action)).toEqual(["request.refused"]);
    await operator.put(`${path}/secrets/a`).send({ value: `user:${secretValue()}` });
    const entry = { type: "generic", url: "registry.example.com", secretName: "a" };
    await operator.post(`${path}/registries`).send(entry).expect(201);
    await service.openJob(factory.name, { grants: [{ registry: "registry.example.com" }] });
    const ofRegistry = (await events({ registry: "registry.example.com" })).map(({ action }) => action);
    expect(ofRegistry).toEqual(["job.opened", "destination.approved"]);
    expect(await events({ registry: "registry.example" })).toEqual([]);
    const all = await events();
    const { at } = all[2] ?? { at: "" };
    const times = all.map((event) => event.at);
    expect((await events({ from: at })).map((event) => event.at)).toEqual(times.filter((time) => time >= at));
    expect((await events({ to: at })).map((event) => event.at)).toEqual(times.filter((time) => time < at));
  });

  it.each([
    ["registry-token.isued", "did you mean registry-token.issued?"],
    ["secret.writen", "did you mean secret.written?"],
    ["device.x", "those of device are device.denied, device.allowed-again, device.refused"],
    ["nonsense", "docs/audit.md lists them"],
  ])("and refuses the action %s, which nothing has: %s", async (action, hint) => {
    for (const list of [`${path}/audit`, "/v1/audit"]) {
      const { detail } = expectProblem(await operator.get(list).query({ action }), "invalid-request");
      expect(detail).toContain(hint);
    }
  });

  it("by every action that there is", async () => {
    for (const action of eventActions) await operator.get(`${path}/audit`).query({ action }).expect(200);
    const { rows } = await service.database.pool.query<{ action: string }>("SELECT DISTINCT action FROM audit_events");
    expect(rows.filter(({ action }) => !eventActions.includes(action))).toEqual([]);
  });

  it("by secret, actor and action, alone and together", async () => {
    const { id, token } = await service.createApiToken(factory.name, ["secrets:write"]);
    for (const name of ["a", "b"]) {
      await operator.put(`${path}/secrets/${name}`).send({ value: secretValue() });
      await service.as(token).put(`${path}/secrets/${name}`).send({ value: secretValue() });
    }
    const shown = async (query: Record<string, string>) =>
      (await events(query)).map(({ secret, secretVersion }) => [secret, secretVersion]);
    expect(await shown({ secret: "a" })).toEqual([
      ["a", 2],
      ["a", 1],
    ]);
    expect(await shown({ actor: id })).toEqual([
      ["b", 2],
      ["a", 2],
    ]);
    expect(await shown({ actor: id, secret: "b" })).toEqual([["b", 2]]);
    expect(await shown({ action: "secret.deleted" })).toEqual([]);
    expect(await shown({ action: "secret.written", secret: "A" })).toEqual([]);
  });

  it("by time: from is included, to is not", async () => {
    await operator.put(`${path}/secrets/a`).send({ value: secretValue() });
    const [newest] = await events();
    const at = newest?.at ?? "";
    expect((await events({ from: at })).map(({ action }) => action)).toContain("secret.written");
    expect((await events({ to: at })).map(({ action }) => action)).not.toContain("secret.written");
    expect(await events({ from: "2999-01-01T00:00:00Z" })).toEqual([]);
    expect(await events({ from: "2026-01-01T00:00:00.0001Z", to: "2026-01-01T00:00:00.0002Z" })).toEqual([]);
    expect((await events({ from: "0001-01-01T00:00:00Z", to: "9999-12-31T23:59:59.999999Z" })).length).toBeGreaterThan(
      1,
    );
  });

  it.each([
    { from: "yesterday" },
    { to: "2026-13-01T00:00:00Z" },
    { from: "0000-01-01T00:00:00Z" },
    { from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" },
    { from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:00Z" },
    { from: "2026-01-01T00:00:00.0002Z", to: "2026-01-01T00:00:00.0001Z" },
    { secret: "\0" },
    { actor: "\0" },
    { action: "\0" },
    { who: "me" },
  ])("and %j is refused", async (query) => {
    expectProblem(await operator.get(`${path}/audit`).query(query), "invalid-request");
  });
});
