import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watched } from "../../../support/leak-watch.js";
import { newSigningKey, type TestIssuer } from "../../../support/oidc-issuer.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { expectProblem } from "../../http/expect-problem.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

let factory: TrustingFactory;
let issuer: TestIssuer;
let other: TestIssuer;
let replica: TestService;

beforeAll(async () => {
  factory = await startTrustingFactory(["idp.example.test", "other.example.test"]);
  issuer = factory.issuers.of("idp.example.test");
  other = factory.issuers.of("other.example.test");
  replica = await startTestService(factory.environment, factory.service);
});
afterAll(async () => {
  await replica.close();
  await factory.close();
});

/** A rule that no other test's token meets. */
async function ruleFor(terms: Record<string, unknown> = {}): Promise<{ id: string; claims: Record<string, unknown> }> {
  const project = randomUUID();
  const conditions = [{ claim: "project_id", equals: project }];
  const id = await factory.trust({ issuer: issuer.url, conditions, ...terms });
  return { id, claims: { project_id: project } };
}

describe("a job with an ID token that a rule matches", () => {
  it("gets the rule's grants, and the audit names the rule and the claims that mattered", async () => {
    const { id, claims } = await ruleFor({ name: "main branch" });
    const token = watched(issuer.sign({ ...claims, sub: "project:42:main" }));
    const reply = await factory.present(token);
    expect(reply.status).toBe(200);
    expect(reply.body.tokens).toMatchObject([{ registry: "ghcr.io", repositories: ["acme/app"] }]);
    const event = (await factory.events("registry-token.issued")).at(-1);
    expect(event).toMatchObject({
      actor: { kind: "oidc", id, name: "project:42:main" },
      evidence: {
        issuer: issuer.url,
        rules: [{ id, name: "main branch" }],
        claims: expect.arrayContaining([{ name: "project_id", value: claims.project_id }]),
      },
    });
  });

  it("gets the joined grants of all that match", async () => {
    const { claims } = await ruleFor();
    const conditions = [{ claim: "project_id", equals: claims.project_id }];
    await factory.trust({
      issuer: issuer.url,
      conditions,
      grants: [{ registry: "ghcr.io", repositories: ["acme/base"] }],
    });
    const reply = await factory.present(issuer.sign(claims));
    expect(reply.body.tokens[0].repositories).toEqual(["acme/app", "acme/base"]);
  });

  it("may send it in base64, and as long as 16 KiB", async () => {
    const { claims } = await ruleFor();
    const { length } = issuer.sign({ ...claims, filler: "" });
    const token = issuer.sign({ ...claims, filler: "x".repeat(Math.floor(((16_384 - length) * 3) / 4)) });
    expect(token.length).toBeGreaterThan(16_384 - 4);
    expect(token.length).toBeLessThanOrEqual(16_384);
    const bearer = Buffer.from(token).toString("base64");
    const path = `/v1/factories/${factory.factory.name}/registry-tokens`;
    await factory.service.as(undefined).set("Authorization", `Bearer ${bearer}`).post(path).send({}).expect(200);
    await factory.service.as(token).post(path).send({}).expect(200);
  });

  it("can do nothing else", async () => {
    const { claims } = await ruleFor();
    const path = `/v1/factories/${factory.factory.name}/secrets`;
    const reply = await factory.service
      .as(undefined)
      .set("Authorization", `Bearer ${issuer.sign(claims)}`)
      .get(path);
    expectProblem(reply, "forbidden");
    const whoami = factory.service.as(undefined).set("Authorization", `Bearer ${issuer.sign(claims)}`);
    expectProblem(await whoami.get("/v1/whoami"), "unauthenticated");
  });

  it.each(["ES256", "ES384", "PS256", "EdDSA"])("may have it signed with %s where the rule says so", async (alg) => {
    const key = newSigningKey(alg);
    const jwks = JSON.stringify({ keys: [key.jwk] });
    const { claims } = await ruleFor({ algorithms: [alg], jwks });
    expect((await factory.present(issuer.sign(claims, {}, key))).status).toBe(200);
  });

  it("is refused the moment the token expires", async () => {
    const { claims } = await ruleFor();
    const exp = Math.floor(Date.now() / 1_000) + 5;
    const token = issuer.sign({ ...claims, exp });
    expect((await factory.present(token)).status).toBe(200);
    // Timers may fire a millisecond early.
    await new Promise((resolve) => setTimeout(resolve, exp * 1_000 - Date.now() + 2));
    expectProblem(await factory.present(token), "unauthenticated");
  });
});

describe("a rule that is deleted", () => {
  it("ends what it let in at once, on every replica", async () => {
    const { id, claims } = await ruleFor();
    const token = issuer.sign(claims);
    for (const service of [factory.service, replica]) {
      expect((await factory.present(token, undefined, service)).status).toBe(200);
    }
    await factory.distrust(id);
    for (const service of [factory.service, replica]) {
      expectProblem(await factory.present(token, undefined, service), "unauthenticated");
    }
  });

  it("leaves what another rule gives", async () => {
    const { id, claims } = await ruleFor();
    const conditions = [{ claim: "project_id", equals: claims.project_id }];
    await factory.trust({
      issuer: issuer.url,
      conditions,
      grants: [{ registry: "ghcr.io", repositories: ["acme/base"] }],
    });
    const token = issuer.sign(claims);
    await factory.present(token);
    await factory.distrust(id);
    expect((await factory.present(token)).body.tokens[0].repositories).toEqual(["acme/base"]);
  });
});

describe("keys", () => {
  it("of a rule verify for that rule alone", async () => {
    const pasted = newSigningKey("RS256");
    const jwks = JSON.stringify({ keys: [pasted.jwk] });
    const { claims } = await ruleFor();
    const conditions = [{ claim: "project_id", equals: claims.project_id }];
    const grants = [{ registry: "ghcr.io", repositories: ["acme/base"] }];
    await factory.trust({ issuer: issuer.url, conditions, grants, jwks });
    expect((await factory.present(issuer.sign(claims, {}, pasted))).body.tokens[0].repositories).toEqual(["acme/base"]);
    expect((await factory.present(issuer.sign(claims))).body.tokens[0].repositories).toEqual(["acme/app"]);
  });

  it("of one issuer open nothing of another", async () => {
    const { claims } = await ruleFor();
    await factory.trust({ issuer: other.url, conditions: [{ claim: "project_id", equals: "never" }] });
    expectProblem(await factory.present(other.sign({ ...claims, iss: issuer.url })), "unauthenticated");
    expectProblem(await factory.present(other.sign(claims)), "unauthenticated");
  });
});

describe("a single-use rule", () => {
  it("takes a token once", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    const token = issuer.sign(claims);
    expect((await factory.present(token)).status).toBe(200);
    expectProblem(await factory.present(token), "unauthenticated");
    expectProblem(await factory.present(token, undefined, replica), "unauthenticated");
    expect((await factory.present(issuer.sign(claims))).status).toBe(200);
  });

  it("gives exactly one of those who come at the same instant to two replicas a token", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    for (let round = 0; round < 5; round += 1) {
      const token = issuer.sign(claims);
      const services = [factory.service, replica, factory.service, replica];
      const replies = await Promise.all(services.map((service) => factory.present(token, undefined, service)));
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
    }
  });

  it("refuses a token without jti", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    expectProblem(await factory.present(issuer.sign({ ...claims, jti: undefined })), "unauthenticated");
  });

  it("makes the whole token single-use, whatever other rule it matches", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    await factory.trust({ issuer: issuer.url, conditions: [{ claim: "project_id", equals: claims.project_id }] });
    const token = issuer.sign(claims);
    expect((await factory.present(token)).status).toBe(200);
    expectProblem(await factory.present(token), "unauthenticated");
  });

  it("counts the ids of each issuer, and of each factory, apart", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    const conditions = [{ claim: "project_id", equals: claims.project_id }];
    await factory.trust({ issuer: other.url, conditions, singleUse: true });
    const second = await factory.service.createFactory();
    await factory.trust({ issuer: issuer.url, conditions, singleUse: true }, second.id);
    const jti = randomUUID();
    const token = issuer.sign({ ...claims, jti });
    expect((await factory.present(token)).status).toBe(200);
    expect((await factory.present(other.sign({ ...claims, jti }))).status).toBe(200);
    expect((await factory.present(token, second.name)).status).not.toBe(401);
  });
});

it("goes through from an address that floods, with a token that was let in before", async () => {
  const environment = { ...factory.environment, FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "3" };
  const limited = await startTestService(environment, factory.service);
  const { claims } = await ruleFor();
  const token = issuer.sign(claims);
  const present = async (one: string) => (await factory.present(one, undefined, limited)).status;
  expect(await present(token)).toBe(200);
  for (let failures = 0; failures < 3; failures += 1) expect(await present("a.b.c")).toBe(401);
  expect(await present("a.b.c")).toBe(429);
  expect(await present(token)).toBe(200);
  await limited.close();
});
