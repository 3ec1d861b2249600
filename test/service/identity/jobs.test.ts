import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
let factory: string;
let path: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
  path = `/v1/factories/${factory}/jobs`;
});
afterAll(() => service.close());

const open = (body: object, token = service.operatorToken) =>
  service
    .as(token)
    .post(path)
    .send({ name: "job", ...body });
const isAlive = async (token: string) => (await service.as(token).get("/v1/whoami")).status === 200;

describe("ttlSeconds", () => {
  it.each([
    [undefined, 3600],
    [60, 60],
    [86_400, 86_400],
  ])("%s gives a job of %i s", async (ttlSeconds, life) => {
    const askedMs = Date.now();
    const { status, body, headers } = await open(ttlSeconds === undefined ? {} : { ttlSeconds });
    const answeredMs = Date.now();
    expect([status, headers["cache-control"]]).toEqual([201, "no-store"]);
    const openedMs = Date.parse(body.expiresAt) - life * 1_000;
    expect([openedMs >= askedMs, openedMs <= answeredMs]).toEqual([true, true]);
    expect(body.token).toMatch(/^fsj_[\w-]{49}$/);
  });

  it.each([59, 86_401, 0, -1, 90.5, "3600", null])("%j is refused", async (ttlSeconds) => {
    const { invalid } = expectProblem(await open({ ttlSeconds }), "invalid-request");
    expect(invalid).toMatchObject([{ at: "/ttlSeconds" }]);
  });

  it("never reaches past the maker's expiry", async () => {
    const expiresAt = new Date(Date.now() + 600_000).toISOString();
    const maker = await service
      .as(service.operatorToken)
      .post(`/v1/factories/${factory}/api-tokens`)
      .send({ name: "short", permissions: ["jobs:create"], expiresAt });
    expect((await open({}, maker.body.token)).body.expiresAt).toBe(expiresAt);
  });
});

describe("grants", () => {
  it.each([
    [[{ registry: "ghcr.io" }]],
    [[{ registry: "ghcr.io", repositories: ["a", "team/app", "a.b_c__d-e--f/9"] }]],
    [[{ registry: "ghcr.io", repositories: ["x".repeat(255)], actions: ["pull"] }, { registry: "[::1]:5000" }]],
  ])("%j are taken, and shown as they will be applied", async (grants) => {
    const { status, body } = await open({ grants });
    expect(status).toBe(201);
    expect(body.grants).toEqual(grants.map((grant) => ({ actions: ["pull"], ...grant })));
    expect((await service.as(service.operatorToken).get(`${path}/${body.id}`)).body.grants).toEqual(body.grants);
  });

  it.each([
    "*",
    "team/*",
    "app:latest",
    "app@sha256:00",
    "a,b",
    "Team/app",
    "app ",
    "",
    "/app",
    "app/",
    "a//b",
    "..",
    "a/../b",
    "-a",
    "a_",
    "a..b",
    "ä",
    "x".repeat(256),
  ])("refuse the repository %j, and do not repeat it", async (repository) => {
    const reply = await open({ grants: [{ registry: "ghcr.io", repositories: ["ok", repository] }] });
    const { invalid } = expectProblem(reply, "invalid-request");
    expect(invalid).toMatchObject([{ at: "/grants/0/repositories/1" }]);
  });

  it.each([
    ["an empty list, which could be taken for all or for nothing", []],
    ["an empty list of repositories", [{ registry: "ghcr.io", repositories: [] }]],
    ["an action that is not pull", [{ registry: "ghcr.io", actions: ["push"] }]],
    ["no action", [{ registry: "ghcr.io", actions: [] }]],
    ["a registry with a path", [{ registry: "ghcr.io/team" }]],
    ["a field that does not exist", [{ registry: "ghcr.io", repository: "team/app" }]],
    ["101 grants", Array.from({ length: 101 }, () => ({ registry: "ghcr.io" }))],
  ])("refuse %s", async (_what, grants) => {
    expectProblem(await open({ grants }), "invalid-request");
  });
});

describe("a job", () => {
  it("runs, and has ended when it was ended", async () => {
    const job = await service.openJob(factory);
    const operator = service.as(service.operatorToken);
    const { body } = await operator.get(`${path}/${job.id}`);
    expect(body).toMatchObject({ id: job.id, state: "running", createdBy: "test operator" });
    expect(body).not.toHaveProperty("token");
    await operator.delete(`${path}/${job.id}`).expect(204);
    expect(await isAlive(job.token)).toBe(false);
    expect((await operator.get(`${path}/${job.id}`)).body.state).toBe("ended");
    expectProblem(await operator.delete(`${path}/${job.id}`), "not-found");
    const listed: { id: string }[] = (await operator.get(path).query({ pageSize: 200 })).body.items;
    expect(listed.map(({ id }) => id)).not.toContain(job.id);
  });

  it("that has expired says so", async () => {
    const job = await service.openJob(factory);
    await service.database.pool.query("UPDATE credentials SET expires_at = now() WHERE id = $1", [job.id]);
    expect((await service.as(service.operatorToken).get(`${path}/${job.id}`)).body.state).toBe("expired");
    expect(await isAlive(job.token)).toBe(false);
  });

  it("is not found through another factory", async () => {
    const job = await service.openJob(factory);
    const other = await service.createFactory();
    const operator = service.as(service.operatorToken);
    expectProblem(await operator.get(`/v1/factories/${other.name}/jobs/${job.id}`), "not-found");
    expectProblem(await operator.delete(`/v1/factories/${other.name}/jobs/${job.id}`), "not-found");
    expect(await isAlive(job.token)).toBe(true);
  });

  it("ends with the API token that opened it, and other jobs do not", async () => {
    const maker = await service.createApiToken(factory, ["jobs:create"]);
    const { body: job } = await open({}, maker.token);
    const other = await service.openJob(factory);
    await service.as(service.operatorToken).delete(`/v1/factories/${factory}/api-tokens/${maker.id}`).expect(204);
    expect([await isAlive(job.token), await isAlive(other.token)]).toEqual([false, true]);
  });

  it("cannot be opened by a maker that is withdrawn at the same time and live on", async () => {
    for (let round = 0; round < 5; round += 1) {
      const maker = await service.createApiToken(factory, ["jobs:create"]);
      const withdrawal = service.as(service.operatorToken).delete(`/v1/factories/${factory}/api-tokens/${maker.id}`);
      const [withdrawn, ...opened] = await Promise.all([withdrawal, ...[1, 2, 3].map(() => open({}, maker.token))]);
      expect(withdrawn.status).toBe(204);
      for (const { status, body } of opened) {
        expect([201, 401]).toContain(status);
        if (status === 201) expect(await isAlive(body.token)).toBe(false);
      }
    }
  });
});
