import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routes } from "../../../src/service/routes.js";
import { makeRoot } from "../../support/devices/device-certificates.js";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const count = 5;
const factory = "pages";
const otherFactory = "other-pages";
let service: TestService;

beforeAll(async () => {
  service = await startOwnTestService();
  for (const name of [factory, otherFactory]) await fill(name);
  for (let index = 0; index < count; index += 1) {
    await service.createFactory();
    await service
      .as(service.operatorToken)
      .post("/v1/operator-tokens")
      .send({ name: `operator ${index}` });
  }
});
afterAll(() => service.close());

/** Makes several of everything that a factory lists. */
async function fill(name: string): Promise<void> {
  await service.createFactory(name);
  const operator = service.as(service.operatorToken);
  const path = `/v1/factories/${name}`;
  for (let index = 0; index < count; index += 1) {
    await service.createApiToken(name, ["secrets:list"]);
    await service.openJob(name);
    const client = { name: `client ${index}`, permissions: ["secrets:list"] };
    await operator.post(`${path}/oauth-clients`).send(client).expect(201);
    await operator
      .post(`${path}/trust-rules`)
      .send(trustRule(`rule ${index}`))
      .expect(201);
    const authority = { name: `authority ${index}`, certificates: (await makeRoot()).pem };
    await operator.post(`${path}/device-authorities`).send(authority).expect(201);
    await operator.post(`${path}/denied-devices`).send({ deviceId: randomUUID() }).expect(201);
    await operator.put(`${path}/secrets/n${index}`).send({ value: secretValue() });
    await operator.put(`${path}/secrets/n0?allowUnusable=true`).send({ value: secretValue() }).expect(200);
    await operator.put(`${path}/secrets/gone${index}`).send({ value: secretValue() }).expect(201);
    await operator.delete(`${path}/secrets/gone${index}`).expect(204);
    const entry = { type: "generic", url: `registry-${index}.example.com`, secretName: "n0" };
    await operator.post(`${path}/registries`).send(entry).expect(201);
  }
}

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
  .map(({ id, path }) => [id, pathIn(factory, path)] as const);

function pathIn(name: string, path: string): string {
  return path.replace("{factory}", name).replace("{name}", "n0");
}

/** The token that each list of both factories gives for its second page, by the list's path. */
const tokensOfAll = (() => {
  let tokens: Promise<ReadonlyMap<string, string>> | undefined;
  const read = async () => {
    const paths = new Set(lists.flatMap(([, path]) => [path, path.replace(factory, otherFactory)]));
    const found = [...paths].map(async (path) => {
      const { body } = await service.as(service.operatorToken).get(path).query({ pageSize: 2 }).expect(200);
      return [path, String(body.nextPageToken)] as const;
    });
    return new Map(await Promise.all(found));
  };
  return () => {
    tokens ??= read();
    return tokens;
  };
})();

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

  async function expectInvalid(pageToken: string): Promise<void> {
    const { detail } = expectProblem(await page({ pageToken }), "invalid-request");
    expect(detail).toContain("invalid page token");
  }

  it("refuses the token of every other list, and of its own in another factory", async () => {
    const tokens = await tokensOfAll();
    expect(tokens.size).toBeGreaterThan(25);
    for (const [of, token] of tokens) if (of !== path) await expectInvalid(token);
  });

  it("refuses a token that was altered anywhere", async () => {
    const token = (await tokensOfAll()).get(path) ?? "";
    for (let at = 0; at < token.length; at += 7) {
      await expectInvalid(token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1));
    }
    await expectInvalid(token.slice(0, -1));
    await expectInvalid(`${token}A`);
  });

  it("answers a token made of an id the same, whether that is a row of another factory or of none", async () => {
    const others = await service.as(service.operatorToken).get(path.replace(factory, otherFactory));
    const [{ id, name, version }] = others.body.items;
    for (const key of [id, name, version, randomUUID()]) {
      if (key !== undefined) await expectInvalid(Buffer.from(String(key)).toString("base64url"));
    }
  });

  it("shows nothing of the row in a token", async () => {
    const token = (await tokensOfAll()).get(path) ?? "";
    const bytes = Buffer.from(token, "base64url").toString("latin1");
    const { body } = await page({ pageSize: 2 });
    const { id, name, createdAt } = body.items[1];
    for (const text of [id, name, createdAt]) if (String(text).length > 1) expect(bytes).not.toContain(text);
  });
});

it("a page token is good on every replica, and after a restart", async () => {
  const replica = await startTestService({}, service);
  for (const [path, pageToken] of await tokensOfAll()) {
    const [here, there] = await Promise.all(
      [service, replica].map((one) =>
        one.as(service.operatorToken).get(path).query({ pageSize: 2, pageToken }).expect(200),
      ),
    );
    expect(there?.body.items).toEqual(here?.body.items);
  }
  await replica.close();
});

it("a page token is good with the filters that it was made with", async () => {
  const operator = service.as(service.operatorToken);
  const list = (path: string, query: Record<string, string>) => operator.get(path).query({ pageSize: "2", ...query });
  const filtered: [string, Record<string, string>, Record<string, string>][] = [
    [`/v1/factories/${factory}/secrets`, { prefix: "n" }, { prefix: "" }],
    [`/v1/factories/${factory}/audit`, { action: "secret.written" }, { action: "secret.deleted" }],
  ];
  for (const [path, filter, other] of filtered) {
    const pageToken = String((await list(path, filter).expect(200)).body.nextPageToken);
    await list(path, { ...filter, pageToken, pageSize: "3" }).expect(200);
    for (const query of [other, {}]) expectProblem(await list(path, { ...query, pageToken }), "invalid-request");
  }
});

it("the key of page tokens is replaced when it does not open, and no second one is made by replicas", async () => {
  const list = (one: TestService) =>
    one.as(service.operatorToken).get(`/v1/factories/${factory}/secrets`).query({ pageSize: 2 });
  const { pool } = service.database;
  await pool.query("UPDATE signing_keys SET wrapped = substr(wrapped, 1, 40) WHERE purpose = 'page-tokens'");
  const replicas = [await startTestService({}, service), await startTestService({}, service)];
  const tokens = await Promise.all(replicas.map(async (one) => (await list(one).expect(200)).body.nextPageToken));
  expect(new Set(tokens).size).toBe(1);
  for (const one of replicas) await one.close();
  const { rows } = await pool.query("SELECT FROM signing_keys WHERE purpose = 'page-tokens' AND verify_until IS NULL");
  expect(rows).toHaveLength(1);
});
