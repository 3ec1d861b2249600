import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routes } from "../../../src/service/routes.js";
import { makeRoot } from "../../support/devices/device-certificates.js";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const count = 5;
const factory = "pages";
let service: TestService;

beforeAll(async () => {
  service = await startOwnTestService();
  await service.createFactory(factory);
  const operator = service.as(service.operatorToken);
  for (let index = 0; index < count; index += 1) {
    await service.createFactory();
    await service.createApiToken(factory, ["secrets:list"]);
    await service.openJob(factory);
    const client = { name: `client ${index}`, permissions: ["secrets:list"] };
    await operator.post(`/v1/factories/${factory}/oauth-clients`).send(client).expect(201);
    await operator
      .post(`/v1/factories/${factory}/trust-rules`)
      .send(trustRule(`rule ${index}`))
      .expect(201);
    const authority = { name: `authority ${index}`, certificates: (await makeRoot()).pem };
    await operator.post(`/v1/factories/${factory}/device-authorities`).send(authority).expect(201);
    await operator.post(`/v1/factories/${factory}/denied-devices`).send({ deviceId: randomUUID() }).expect(201);
    await operator.post("/v1/operator-tokens").send({ name: `operator ${index}` });
    await operator.put(`/v1/factories/${factory}/secrets/n${index}`).send({ value: secretValue() });
    await operator.put(`/v1/factories/${factory}/secrets/n0`).send({ value: secretValue() }).expect(200);
    await operator.put(`/v1/factories/${factory}/secrets/gone${index}`).send({ value: secretValue() }).expect(201);
    await operator.delete(`/v1/factories/${factory}/secrets/gone${index}`).expect(204);
    const entry = { type: "generic", url: `registry-${index}.example.com`, secretName: "n0" };
    await operator.post(`/v1/factories/${factory}/registries`).send(entry).expect(201);
  }
});
afterAll(() => service.close());

function trustRule(name: string) {
  return {
    name,
    issuer: "https://issuer.example.com",
    audience: "https://secrets.example.com",
    conditions: [{ claim: "sub", equals: "workload-1" }],
    grants: [{ registry: "registry-0.example.com" }],
  };
}

const lists = routes
  .filter(({ method, query }) => method === "get" && query?.safeParse({ pageSize: "1" }).success)
  .filter(({ id }) => !id.startsWith("fioctl"))
  .map(({ id, path }) => [id, path.replace("{factory}", factory).replace("{name}", "n0")] as const);

it("walks every list that has pages", () => {
  expect(lists.map(([id]) => id).toSorted()).toEqual([
    "listApiTokens",
    "listAudit",
    "listConfigVersions",
    "listDeletedSecrets",
    "listDeniedDevices",
    "listDeviceAuthorities",
    "listFactories",
    "listFactoryAudit",
    "listJobs",
    "listOAuthClients",
    "listOperatorTokens",
    "listRegistries",
    "listSecretVersions",
    "listSecrets",
    "listTrustRules",
  ]);
});

describe.each(lists)("%s", (_id, path) => {
  const page = (query: Record<string, string | number>) => service.as(service.operatorToken).get(path).query(query);

  it("gives every item once, in one order, whatever the size of a page", async () => {
    const { body: whole } = await page({ pageSize: 200 });
    expect(whole.items.length).toBeGreaterThanOrEqual(count);
    expect(whole).not.toHaveProperty("nextPageToken");
    for (const pageSize of [2, whole.items.length]) {
      const items: unknown[] = [];
      let pageToken: string | undefined;
      do {
        const { status, body } = await page({ pageSize, ...(pageToken !== undefined && { pageToken }) });
        expect(status).toBe(200);
        expect(body.items.length).toBeLessThanOrEqual(pageSize);
        items.push(...body.items);
        pageToken = body.nextPageToken;
      } while (pageToken !== undefined);
      expect(items).toEqual(whole.items);
    }
  });

  it.each(["0", "201", "x"])("refuses pageSize=%s", async (pageSize) => {
    expectProblem(await page({ pageSize }), "invalid-request");
  });

  it.each(["\0", "!", "\u{1f511}", "' OR 1=1 --", "and much more of it"])(
    "refuses a page token made of %j",
    async (text) => {
      expectProblem(await page({ pageToken: Buffer.from(text).toString("base64url") }), "invalid-request");
    },
  );
});
