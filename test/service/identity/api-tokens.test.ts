import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { permissions } from "../../../src/core/permissions.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
let factory: string;
let path: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
  path = `/v1/factories/${factory}/api-tokens`;
});
afterAll(() => service.close());

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
const make = (token: string, body: object) =>
  service
    .as(token)
    .post(path)
    .send({ name: "made", ...body });

describe("whoami", () => {
  it("tells each kind of caller what it is", async () => {
    const operator = await service.as(service.operatorToken).get("/v1/whoami");
    expect(operator.body).toMatchObject({ kind: "operator", name: "test operator", permissions: [...permissions] });
    expect(operator.body).not.toHaveProperty("factory");
    const { id, token } = await service.createApiToken(factory, ["secrets:list"]);
    const api = await service.as(token).get("/v1/whoami");
    expect(api.body).toEqual({ kind: "api-token", id, name: "secrets:list", factory, permissions: ["secrets:list"] });
    const grants = [{ registry: "ghcr.io", repositories: ["team/app"], actions: ["pull"] }];
    const job = await service.openJob(factory, { grants });
    const { body } = await service.as(job.token).get("/v1/whoami");
    expect(body).toMatchObject({ kind: "job", id: job.id, factory, permissions: ["registry-tokens:issue"], grants });
    expect(Date.parse(body.expiresAt)).toBeGreaterThan(Date.now());
  });
});

describe("an API token", () => {
  it("is shown once, and its reply is not to be stored", async () => {
    const reply = await make(service.operatorToken, { permissions: ["secrets:list"] });
    expect([reply.status, reply.headers["cache-control"]]).toEqual([201, "no-store"]);
    expect(reply.body.token).toMatch(/^fsu_[\w-]{49}$/);
    const { body } = await service.as(service.operatorToken).get(path);
    expect(body.items.find(({ id }: { id: string }) => id === reply.body.id)).toEqual({
      id: reply.body.id,
      name: "made",
      permissions: ["secrets:list"],
      createdAt: reply.body.createdAt,
      createdBy: "test operator",
    });
  });

  // Without access:write it would make no token at all: wrong-callers.test.ts.
  it.each(permissions.filter((one) => one !== "access:write"))(
    "never has %s when its maker lacks it",
    async (lacked) => {
      const others = permissions.filter((one) => one !== lacked);
      const maker = await service.createApiToken(factory, others);
      const { detail } = expectProblem(await make(maker.token, { permissions: [lacked, "access:write"] }), "forbidden");
      expect(detail).toContain(lacked);
      expect((await make(maker.token, { permissions: others })).body.permissions).toEqual(others);
    },
  );

  it("never outlives its maker, and without an expiry of its own takes its maker's", async () => {
    const expiresAt = inSeconds(3600);
    const maker = await make(service.operatorToken, { permissions: [...permissions], expiresAt });
    expect(maker.body.expiresAt).toBe(expiresAt);
    const body = { permissions: ["secrets:list"] };
    expectProblem(await make(maker.body.token, { ...body, expiresAt: inSeconds(3700) }), "forbidden");
    expect((await make(maker.body.token, body)).body.expiresAt).toBe(expiresAt);
    const earlier = inSeconds(60);
    expect((await make(maker.body.token, { ...body, expiresAt: earlier })).body.expiresAt).toBe(earlier);
  });

  it("stops working when it expires, though it was just used", async () => {
    const { body } = await make(service.operatorToken, { permissions: ["secrets:list"], expiresAt: inSeconds(5) });
    const whoAmI = () => service.as(body.token).get("/v1/whoami");
    expect((await whoAmI()).status).toBe(200);
    await expect.poll(async () => (await whoAmI()).status, { interval: 100 }).toBe(401);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(body.expiresAt));
  });

  it.each([
    ["no permission", { permissions: [] }],
    ["a permission that does not exist", { permissions: ["secrets:read"] }],
    ["an expiry in the past", { permissions: ["secrets:list"], expiresAt: "2020-01-01T00:00:00Z" }],
    ["an expiry that is no time", { permissions: ["secrets:list"], expiresAt: "tomorrow" }],
    ["an expiry in local time", { permissions: ["secrets:list"], expiresAt: "2030-01-01T00:00:00+02:00" }],
    ["a name with a line end", { name: "a\nb", permissions: ["secrets:list"] }],
    ["an empty name", { name: "", permissions: ["secrets:list"] }],
  ])("is refused with %s", async (_what, body) => {
    expectProblem(await make(service.operatorToken, body), "invalid-request");
  });

  it("has each permission once, however often it was asked for", async () => {
    const { body } = await make(service.operatorToken, { permissions: ["secrets:list", "secrets:list"] });
    expect(body.permissions).toEqual(["secrets:list"]);
  });

  it("is withdrawn once, by its own factory only", async () => {
    const { id, token } = await service.createApiToken(factory, ["secrets:list"]);
    const other = await service.createFactory();
    const operator = service.as(service.operatorToken);
    expectProblem(await operator.delete(`/v1/factories/${other.name}/api-tokens/${id}`), "not-found");
    await service.as(token).get("/v1/whoami").expect(200);
    await operator.delete(`${path}/${id}`).expect(204);
    expectProblem(await service.as(token).get("/v1/whoami"), "unauthenticated");
    expectProblem(await operator.delete(`${path}/${id}`), "not-found");
    expectProblem(await operator.delete(`/v1/operator-tokens/${id}`), "not-found");
    expectProblem(await operator.delete(`/v1/factories/${factory}/jobs/${id}`), "not-found");
  });
});
