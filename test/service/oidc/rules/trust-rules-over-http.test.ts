import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { permissions } from "../../../../src/core/permissions.js";
import { newSigningKey, type TestIssuer } from "../../../support/oidc-issuer.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { expectProblem } from "../../http/expect-problem.js";
import { audience, startTrustingFactory, type TrustingFactory } from "../tokens/trusting-factory.js";

let factory: TrustingFactory;
let issuer: TestIssuer;
let service: TestService;
let path: string;

beforeAll(async () => {
  factory = await startTrustingFactory(["idp.example.test"]);
  issuer = factory.issuers.of("idp.example.test");
  service = factory.service;
  path = `/v1/factories/${factory.factory.name}/trust-rules`;
});
afterAll(() => factory.close());

const grant = { registry: "ghcr.io", repositories: ["acme/app"], actions: ["pull"] };
const newRule = (parts: Record<string, unknown> = {}) => ({
  name: randomUUID(),
  issuer: issuer.url,
  audience,
  conditions: [{ claim: "sub", equals: randomUUID() }],
  grants: [grant],
  ...parts,
});
const operator = () => service.as(service.operatorToken);
const make = (parts: Record<string, unknown> = {}, token = service.operatorToken) =>
  service.as(token).post(path).send(newRule(parts));

/** A rule, and a token of `sub` that it lets in. */
async function ruleAndToken() {
  const sub = randomUUID();
  const rule = newRule({ conditions: [{ claim: "sub", equals: sub }] });
  const { body } = await operator().post(path).send(rule).expect(201);
  return { id: String(body.id), token: issuer.sign({ sub }), sub, rule };
}

describe("a trust rule", () => {
  it("is made, shown, listed, changed and withdrawn, each with its audit event", async () => {
    const rule = newRule({ name: "main branch", maxTtlSeconds: 900, template: "generic" });
    const made = await operator().post(path).send(rule);
    expect([made.status, made.headers.etag]).toEqual([201, '"1"']);
    const { id } = made.body;
    expect(made.body).toEqual({
      ...rule,
      id,
      algorithms: ["RS256"],
      singleUse: false,
      version: 1,
      createdAt: expect.any(String),
      updatedAt: made.body.createdAt,
      createdBy: "test operator",
      findings: [],
    });
    const got = await operator().get(`${path}/${id}`);
    expect([got.body, got.headers.etag]).toEqual([made.body, '"1"']);
    const { body: list } = await operator().get(path).query({ pageSize: 200 });
    expect(list.items).toContainEqual(made.body);
    const changed = await operator()
      .put(`${path}/${id}`)
      .set("If-Match", '"1"')
      .send(newRule({ name: "any branch" }));
    expect([changed.status, changed.headers.etag]).toEqual([200, '"2"']);
    expect(changed.body).toMatchObject({ id, name: "any branch", version: 2, createdAt: made.body.createdAt });
    expect(changed.body).not.toHaveProperty("maxTtlSeconds");
    await operator().delete(`${path}/${id}`).expect(204);
    expectProblem(await operator().get(`${path}/${id}`), "not-found");
    expectProblem(await operator().delete(`${path}/${id}`), "not-found");
    for (const [action, name, version] of [
      ["trust-rule.created", "main branch", 1],
      ["trust-rule.updated", "any branch", 2],
      ["trust-rule.deleted", "any branch", 2],
    ] as const) {
      const event = (await factory.events(action)).at(-1);
      expect(event).toMatchObject({ action, rule: { id, name }, version, actor: { kind: "operator" } });
    }
  });

  it("is changed by whoever has seen its present version only", async () => {
    const { id, rule } = await ruleAndToken();
    const put = (tag: string) => operator().put(`${path}/${id}`).set("If-Match", tag).send(rule);
    expect((await put('"1"')).body.version).toBe(2);
    expectProblem(await put('"1"'), "precondition-failed");
    expectProblem(await operator().delete(`${path}/${id}`).set("If-Match", '"1"'), "precondition-failed");
    expect((await put("*")).body.version).toBe(3);
    await operator().delete(`${path}/${id}`).set("If-Match", '"3"').expect(204);
  });

  it("has a name of its own in its factory, also when two are made at once", async () => {
    const name = randomUUID();
    const replies = await Promise.all([1, 2, 3, 4].map(() => make({ name })));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
    expectProblem(await make({ name }), "already-exists");
    const { id } = await ruleAndToken();
    expectProblem(await operator().put(`${path}/${id}`).send(newRule({ name })), "already-exists");
    const other = await service.createFactory();
    await operator().post(`/v1/factories/${other.name}/trust-rules`).send(newRule({ name })).expect(201);
  });

  it("is of one factory: another one neither sees nor withdraws it", async () => {
    const { id, rule } = await ruleAndToken();
    const other = await service.createFactory();
    const elsewhere = `/v1/factories/${other.name}/trust-rules/${id}`;
    expectProblem(await operator().get(elsewhere), "not-found");
    expectProblem(await operator().put(elsewhere).send(rule), "not-found");
    expectProblem(await operator().delete(elsewhere), "not-found");
    await operator().get(`${path}/${id}`).expect(200);
  });

  it("is one of a hundred at most", async () => {
    const other = await service.createFactory();
    const there = `/v1/factories/${other.name}/trust-rules`;
    await service.database.pool.query(
      `INSERT INTO trust_rules (id, factory_id, name, issuer, rule, created_by_kind, created_by_id, created_by_name)
       SELECT gen_random_uuid(), $1, 'rule ' || n, 'https://issuer.example.com', '{}', 'service', '', 'test'
       FROM generate_series(1, 100) AS n`,
      [other.id],
    );
    expectProblem(await operator().post(there).send(newRule()), "limit-reached");
    // This release cannot read them: they are not shown, and let nobody in.
    expect((await operator().get(there).expect(200)).body.items).toEqual([]);
  });

  it("is listed by name, page by page", async () => {
    const other = await service.createFactory();
    const there = `/v1/factories/${other.name}/trust-rules`;
    for (const name of ["c", "a", "b"]) await operator().post(there).send(newRule({ name })).expect(201);
    const first = await operator().get(there).query({ pageSize: 2 });
    expect(first.body.items.map(({ name }: { name: string }) => name)).toEqual(["a", "b"]);
    const second = await operator().get(there).query({ pageSize: 2, pageToken: first.body.nextPageToken });
    expect(second.body.items.map(({ name }: { name: string }) => name)).toEqual(["c"]);
    expect(second.body).not.toHaveProperty("nextPageToken");
  });

  it("goes with its factory", async () => {
    const other = await service.createFactory();
    await operator().post(`/v1/factories/${other.name}/trust-rules`).send(newRule()).expect(201);
    await operator().delete(`/v1/factories/${other.name}`).expect(204);
    const { rows } = await service.database.pool.query("SELECT id FROM trust_rules WHERE factory_id = $1", [other.id]);
    expect(rows).toEqual([]);
  });
});

describe("a rule that would let strangers in", () => {
  it("is refused with the sentence that says what to add, when it is made and when it is changed", async () => {
    const unsafe = {
      issuer: "https://token.actions.githubusercontent.com",
      conditions: [{ claim: "repository", equals: "acme/app" }],
    };
    const { detail, invalid } = expectProblem(await make(unsafe), "unsafe-rule");
    expect(detail).toContain('Add {"claim": "repository_id"');
    expect(invalid).toEqual([{ at: "/conditions", reason: "This rule does not say whose tokens it takes." }]);
    const { id } = await ruleAndToken();
    expectProblem(await operator().put(`${path}/${id}`).send(newRule(unsafe)), "unsafe-rule");
    expect((await operator().get(`${path}/${id}`)).body.version).toBe(1);
    const { detail: empty } = expectProblem(await make({ ...unsafe, conditions: [] }), "unsafe-rule");
    expect(empty).toBe(detail);
  });

  it("is taken when it is only unwise, with warnings that the list shows too", async () => {
    const { body, status } = await make({
      template: "gitlab",
      issuer: "https://gitlab.example.com",
      conditions: [{ claim: "project_id", equals: "7" }],
    });
    expect(status).toBe(201);
    expect(body.findings).toEqual([
      { code: "any-branch", severity: "warning", at: "/conditions", message: expect.stringContaining("ref_protected") },
    ]);
    expect((await operator().get(`${path}/${body.id}`)).body.findings).toEqual(body.findings);
  });

  it("that an older release took is graded as what it is", async () => {
    const id = await factory.trust({ issuer: issuer.url, conditions: [{ claim: "email", equals: "ci@example.com" }] });
    const { body } = await operator().get(`${path}/${id}`);
    expect(body.findings[0]).toMatchObject({ code: "identity-missing", severity: "error" });
  });
});

describe("pasted keys", () => {
  const keySet = (...keys: object[]) => JSON.stringify({ keys });

  it("are taken when they are public", async () => {
    const jwks = keySet(issuer.key.jwk);
    expect((await make({ jwks })).body.jwks).toBe(jwks);
  });

  it("may have odd ones among them, which the linter names", async () => {
    const jwks = `\uFEFF${keySet({ kid: "x", use: "sig" }, { ...issuer.key.jwk, use: null, alg: "" })}`;
    const { body } = await make({ jwks });
    expect(body.findings).toContainEqual({
      code: "key-ignored",
      severity: "warning",
      at: "/jwks",
      message: expect.stringContaining('The key "x" at /keys/0 of the key set has no kty'),
    });
  });

  it.each<[string, () => string, string]>([
    ["what is no JSON", () => "keys", "JSON Web Key Set"],
    ["no key", () => keySet(), "JSON Web Key Set"],
    ["a private key", () => keySet({ ...issuer.key.jwk, d: "AA" }), "private"],
    ["a shared key", () => keySet({ kty: "oct", kid: "1", k: "AA" }), "shared"],
    [
      "two keys of one kid",
      () => keySet(issuer.key.jwk, { ...newSigningKey("RS256").jwk, kid: issuer.key.kid }),
      "kid",
    ],
    ["no key for the algorithm", () => keySet({ kty: "EC", kid: "1", crv: "P-256" }), "RSA"],
  ])("that hold %s are refused", async (_what, jwks, reason) => {
    const { invalid } = expectProblem(await make({ jwks: jwks() }), "invalid-request");
    expect(invalid).toEqual([{ at: "/jwks", reason: expect.stringContaining(reason) }]);
  });
});

describe("whoever makes a rule", () => {
  it("cannot hand on what they do not have", async () => {
    const without = permissions.filter((one) => one !== "registry-tokens:issue");
    const maker = await service.createApiToken(factory.factory.name, without);
    const { detail } = expectProblem(await make({}, maker.token), "forbidden");
    expect(detail).toContain("registry-tokens:issue");
    const { id, rule } = await ruleAndToken();
    expectProblem(await service.as(maker.token).put(`${path}/${id}`).send(rule), "forbidden");
    // To withdraw is not to grant.
    await service.as(maker.token).delete(`${path}/${id}`).expect(204);
  });

  it("makes none once they are withdrawn, even when that happens at the same time", async () => {
    const maker = await service.createApiToken(factory.factory.name, permissions);
    const withdraw = operator().delete(`/v1/factories/${factory.factory.name}/api-tokens/${maker.id}`).expect(204);
    const [replies] = await Promise.all([Promise.all([1, 2, 3, 4, 5].map(() => make({}, maker.token))), withdraw]);
    for (const { status } of replies) expect([201, 401]).toContain(status);
    expectProblem(await make({}, maker.token), "unauthenticated");
  });
});

describe("a token that a rule let in", () => {
  it("is refused at once when the rule is withdrawn, on every replica", async () => {
    const replica = await startTestService(factory.environment, service);
    const { id, token } = await ruleAndToken();
    expect((await factory.present(token)).status).toBe(200);
    expect((await factory.present(token, undefined, replica)).status).toBe(200);
    await operator().delete(`${path}/${id}`).expect(204);
    expectProblem(await factory.present(token, undefined, replica), "unauthenticated");
    expectProblem(await factory.present(token), "unauthenticated");
    await replica.close();
  });

  it("gets at once what the changed rule says, and no more", async () => {
    const { id, token, rule } = await ruleAndToken();
    const repositories = async () => (await factory.present(token)).body.tokens?.[0]?.repositories;
    expect(await repositories()).toEqual(["acme/app"]);
    const base = { ...grant, repositories: ["acme/base"] };
    await operator()
      .put(`${path}/${id}`)
      .send({ ...rule, grants: [base] })
      .expect(200);
    expect(await repositories()).toEqual(["acme/base"]);
    const conditions = [{ claim: "sub", equals: "somebody else" }];
    await operator()
      .put(`${path}/${id}`)
      .send({ ...rule, conditions })
      .expect(200);
    expectProblem(await factory.present(token), "unauthenticated");
  });
});

describe("the audit as it is read back", () => {
  it("names the rule that was made, and of a token that was handed out the rules and claims that mattered", async () => {
    const { id, token, sub, rule } = await ruleAndToken();
    await factory.present(token);
    const newest = async (action: string) => {
      const { body } = await operator()
        .get(`/v1/factories/${factory.factory.name}/audit`)
        .query({ action, pageSize: 1 });
      return body.items[0];
    };
    expect(await newest("trust-rule.created")).toMatchObject({ rule: { id, name: rule.name }, version: 1 });
    expect(await newest("registry-token.issued")).toMatchObject({
      evidence: { issuer: issuer.url, rules: [{ id, name: rule.name }], claims: [{ name: "sub", value: sub }, {}] },
    });
  });
});

describe("the templates", () => {
  it("are there for every caller, each with a rule to begin with that can be made", async () => {
    const job = await service.openJob(factory.factory.name);
    const { body } = await service.as(job.token).get("/v1/trust-rule-templates").expect(200);
    expect(body.items).toHaveLength(6);
    for (const { example, claims, mustBind } of body.items) {
      expect(claims.length).toBeGreaterThan(0);
      expect(mustBind).toMatch(/\{"claim": /);
      const made = await make(example);
      expect([made.status, made.body.findings]).toEqual([201, []]);
    }
  });
});
