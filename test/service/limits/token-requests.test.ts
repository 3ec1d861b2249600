import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TokenRequests } from "../../../src/limits/token-requests.js";
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

describe("who counts as one caller", () => {
  const allowed = { tokens: "tokens", perMinute: 1, onLimited: () => undefined };
  const session = { kind: "oauth-client", id: "session 1", actorId: "client", name: "builds" } as const;
  const job = { kind: "oidc", id: "rule", name: "repo:acme/app:ref:refs/heads/main" } as const;

  it("is an OAuth client with all its sessions", async () => {
    const requests = new TokenRequests(allowed);
    await requests.count(session);
    await expect(requests.count({ ...session, id: "session 2" })).rejects.toMatchObject({ code: "too-many-requests" });
  });

  it("is each subject that a trust rule lets in", async () => {
    const requests = new TokenRequests(allowed);
    await requests.count(job);
    await requests.count({ ...job, name: "repo:acme/other:ref:refs/heads/main" });
    await expect(requests.count(job)).rejects.toMatchObject({ code: "too-many-requests", retryAfterSeconds: 60 });
  });

  it("is nobody where there is no limit", async () => {
    const requests = new TokenRequests({ ...allowed, perMinute: 0 });
    for (let index = 0; index < 100; index += 1) await requests.count(job);
  });
});
