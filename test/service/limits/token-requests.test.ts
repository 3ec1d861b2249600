import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { TokenRequests } from "../../../src/limits/token-requests.js";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { login, makeClient, refresh } from "../oauth/oauth-factory.js";

let service: TestService;
let factory: string;
beforeAll(async () => {
  service = await startOwnTestService({ FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "3" });
  factory = (await service.createFactory()).name;
});
afterAll(() => service.close());

const ask = async (token: string) => service.as(token).post(`/v1/factories/${factory}/registry-tokens`).send({});

it("limits the registry tokens that one caller asks for, and no other caller and no other route", async () => {
  const [busy, other] = [await service.openJob(factory), await service.openJob(factory)];
  // The factory names no registry yet: that is said to whoever is within the limit.
  for (let index = 0; index < 3; index += 1) expectProblem(await ask(busy.token), "registry-unknown");
  const refused = await ask(busy.token);
  expectProblem(refused, "too-many-requests");
  expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  expectProblem(await ask(other.token), "registry-unknown");
  await service.as(busy.token).get("/v1/whoami").expect(200);
  // The text is remembered for a second.
  await expect
    .poll(async () => (await service.as(undefined).get("/metrics")).text)
    .toContain('limited_requests_total{limit="token-requests"} 1');
});

it("limits the access tokens that one client asks for, each of which opens a session that lasts for months", async () => {
  const [busy, other] = [
    await makeClient(service, factory, { roles: ["ci"] }),
    await makeClient(service, factory, { roles: ["ci"] }),
  ];
  const { body } = await login(service, busy);
  expect((await refresh(service, busy, body.refresh_token)).status).toBe(200);
  expect((await login(service, busy)).status).toBe(200);
  const refused = await login(service, busy);
  expectProblem(refused, "too-many-requests");
  expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  expect((await refresh(service, busy, body.refresh_token)).status).toBe(429);
  expect((await login(service, other)).status).toBe(200);
  // The text is remembered for a second.
  await expect
    .poll(async () => (await service.as(undefined).get("/metrics")).text)
    .toContain('limited_requests_total{limit="session-requests"} 2');
});

describe("a request that demands several tokens", () => {
  const host = "demands.example.test";
  const names = Array.from({ length: 50 }, (_, at) => `acme/app${at}`);
  let broker: BrokeredFactory;
  beforeAll(async () => {
    const password = watched("not-a-real-secret-demands-1c2d");
    const rights = Object.fromEntries(names.map((name) => [name, ["pull"]] as const));
    broker = await startBrokeredFactory(
      (clouds) => void clouds.docker.addRegistry({ host, users: { ci: { password, rights } } }),
      { FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "10" },
    );
    await broker.putSecret("creds", `ci:${password}`);
    await broker.putConfig(`container_registries:\n- type: generic\n  url: ${host}\n  generic_secret_name: creds\n`);
  });
  afterAll(() => broker.close());

  const demands = (from: number, to: number, more: object = {}) => ({
    requests: names.slice(from, to).map((name) => ({ registry: host, repositories: [name] })),
    ...more,
  });
  it("counts each token that is minted for it, and those that are cached as one request", async () => {
    const { token } = await broker.openJob();
    expect((await broker.ask(token, demands(0, 8))).status).toBe(200);
    const other = (await broker.openJob()).token;
    for (let times = 0; times < 10; times += 1) expect((await broker.ask(other, demands(0, 8))).status).toBe(200);
    expectProblem(await broker.ask(other, demands(0, 8)), "too-many-requests");
    // Of its own ten, eight are used: one more request, with one token.
    expect((await broker.ask(token, demands(8, 9))).status).toBe(200);
    expect((await broker.ask(token, demands(9, 10))).status).toBe(200);
    expectProblem(await broker.ask(token, demands(10, 11)), "too-many-requests");
  });

  it("is refused where it would have too many minted, and says when to come back", async () => {
    const { token } = await broker.openJob();
    const refused = await broker.ask(token, demands(20, 50));
    expectProblem(refused, "too-many-requests");
    const seconds = Number(refused.headers["retry-after"]);
    expect(seconds).toBeGreaterThan(50);
    expect(seconds).toBeLessThanOrEqual(60);
    // What was minted until then is kept for the next request, of whoever asks.
    const other = (await broker.openJob()).token;
    const { body, status } = await broker.ask(other, demands(20, 50, { allowPartial: true }));
    expect(status).toBe(200);
    expect(body.tokens).toHaveLength(20);
    expect(body.failures).toHaveLength(10);
    expect(body.failures[0]).toMatchObject({ code: "too-many-requests" });
  });
});

describe("who counts as one caller", () => {
  const allowed = { tokens: "tokens", perMinute: 1, onLimited: () => undefined };
  const session = { kind: "oauth-client", id: "session 1", actorId: "client", name: "builds" } as const;
  const job = { kind: "oidc", id: "rule", name: "repo:acme/app:ref:refs/heads/main" } as const;

  it("is an OAuth client with all its sessions", () => {
    const requests = new TokenRequests(allowed);
    requests.count(session);
    expect(() => requests.count({ ...session, id: "session 2" })).toThrow(
      expect.objectContaining({ code: "too-many-requests" }),
    );
  });

  it("is each subject that a trust rule lets in", () => {
    const requests = new TokenRequests(allowed);
    requests.count(job);
    requests.count({ ...job, name: "repo:acme/other:ref:refs/heads/main" });
    expect(() => requests.count(job)).toThrow(
      expect.objectContaining({ code: "too-many-requests", retryAfterSeconds: 60 }),
    );
  });

  it("counts for a minute from its first request on, and says how long that is", () => {
    vi.useFakeTimers({ toFake: ["performance", "setTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    // No process is asked anything in its first millisecond.
    vi.advanceTimersByTime(1);
    const requests = new TokenRequests({ ...allowed, perMinute: 2 });
    requests.count(job);
    vi.advanceTimersByTime(40_000);
    requests.count(job);
    expect(() => requests.count(job)).toThrow(expect.objectContaining({ retryAfterSeconds: 20 }));
    vi.advanceTimersByTime(20_001);
    requests.count(job);
  });

  it("is nobody where there is no limit", () => {
    const requests = new TokenRequests({ ...allowed, perMinute: 0 });
    for (let index = 0; index < 100; index += 1) requests.count(job);
  });
});
