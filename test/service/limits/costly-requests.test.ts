import { afterAll, beforeAll, expect, it } from "vitest";
import { routes } from "../../../src/service/routes.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { pathOfRoute } from "../http/route-path.js";

const factory = "costly";
const perMinute = 3;

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: String(perMinute) });
  await service.createFactory(factory);
});
afterAll(() => service.close());

const costly = routes.filter(({ isCostly }) => isCostly);

it("are those that a caller can repeat at no cost while they take our time", () => {
  expect(costly.map(({ id }) => id)).toEqual(
    expect.arrayContaining([
      "putConfig",
      "restoreConfigVersion",
      "explainTrustRules",
      "listTrustRules",
      "listJobs",
      "listFactoryAudit",
      "verifySecret",
      "examineSecret",
      "examineSecretVersion",
      "checkReferences",
      "writeSecretBatch",
      "fioctlPatchTrigger",
      "createDeviceAuthority",
      "replaceRevocationList",
      "exportFactoryAudit",
    ]),
  );
  // A document is read by a parser that takes long: no route with one is left out.
  const withDocument = routes.filter(({ body }) => body?.kind === "document");
  expect(withDocument.filter(({ isCostly }) => !isCostly)).toEqual([]);
  expect(
    routes.filter(
      ({ id, isCostly }) => /registr(y|ies)\b/i.test(id) && /^(add|create|put|replace|delete)/.test(id) && !isCostly,
    ),
  ).toEqual([]);
});

it("are limited for each caller, whichever of the routes it calls, and no other route is", async () => {
  const { token } = await service.createApiToken(factory, ["config:read", "config:write", "access:read"]);
  const { token: other } = await service.createApiToken(factory, ["config:read", "config:write"]);
  const dryRun = (as: string) =>
    service
      .as(as)
      .put(`/v1/factories/${factory}/config?dryRun=true`)
      .set("Content-Type", "application/yaml")
      .send("container_registries: []\n");
  for (let index = 0; index < perMinute; index += 1) await dryRun(token).expect(200);
  const refused = await dryRun(token);
  expectProblem(refused, "too-many-requests");
  expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  expectProblem(
    await service.as(token).post(`/v1/factories/${factory}/trust-rules:explain`).send({ claims: {} }),
    "too-many-requests",
  );
  await dryRun(other).expect(200);
  await service.as(token).get("/v1/whoami").expect(200);
  await service.as(token).get(`/v1/factories/${factory}/config/versions`).expect(200);
});

it("are refused before their body is read", async () => {
  const { token } = await service.createApiToken(factory, ["secrets:write"]);
  const verify = routes.find(({ id }) => id === "verifySecret");
  if (!verify) throw new Error("there is such a route");
  const ask = () =>
    service.as(token).post(pathOfRoute(verify, factory)).set("Content-Type", "application/json").send("no JSON");
  for (let index = 0; index < perMinute; index += 1) expectProblem(await ask(), "malformed-body");
  expectProblem(await ask(), "too-many-requests");
});
