import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watched } from "../../../support/leak-watch.js";
import type { TestIssuer } from "../../../support/oidc-issuer.js";
import { type RealProvider, startRealProvider } from "../../../support/real-oidc-provider.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { expectProblem } from "../../http/expect-problem.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

let provider: RealProvider;
let factory: TrustingFactory;
let issuer: TestIssuer;
let replica: TestService;

beforeAll(async () => {
  provider = await startRealProvider();
  factory = await startTrustingFactory(["idp.example.test"], provider);
  issuer = factory.issuers.of("idp.example.test");
  replica = await startTestService(
    { ...factory.environment, FACTORY_SECRETS_PUBLIC_URL: factory.service.url },
    factory.service,
  );
});
afterAll(async () => {
  await replica.close();
  await factory.close();
  await provider.close();
});

async function ruleFor(terms: Record<string, unknown> = {}): Promise<{ id: string; claims: Record<string, string> }> {
  const project = randomUUID();
  const conditions = [{ claim: "project_id", equals: project }];
  return { id: await factory.trust({ issuer: issuer.url, conditions, ...terms }), claims: { project_id: project } };
}

const exchange = (token: string, name = factory.factory.name, more: Record<string, string> = {}) =>
  factory.service
    .as(undefined)
    .post("/oauth/token/")
    .type("form")
    .send({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: token,
      subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
      factory: name,
      ...more,
    });

describe("an ID token that is exchanged", () => {
  it("gives an access token for the rule's grants, which the audit follows to the rule", async () => {
    const { id, claims } = await ruleFor({ name: "exchanged" });
    const reply = await exchange(watched(issuer.sign(claims)));
    expect(reply.body).toMatchObject({
      token_type: "Bearer",
      scope: "registry-tokens:issue",
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    });
    const tokens = await factory.present(reply.body.access_token);
    expect(tokens.body.tokens).toMatchObject([{ registry: "ghcr.io", repositories: ["acme/app"] }]);
    expect((await factory.events("registry-token.issued")).at(-1)).toMatchObject({
      actor: { kind: "oidc", id, name: "job" },
      evidence: { issuer: issuer.url, rules: [{ id, name: "exchanged" }] },
    });
  });

  it("may come from a real OpenID provider", async () => {
    const conditions = [{ claim: "project_id", equals: "7" }];
    await factory.trust({ issuer: provider.issuer, audience: provider.clientId, conditions });
    const reply = await exchange(watched(await provider.idToken({ sub: "project:7", project_id: "7" })));
    expect((await factory.present(reply.body.access_token)).status).toBe(200);
  });

  it("gives what ends with the rule, at once and everywhere", async () => {
    const { id, claims } = await ruleFor();
    const { access_token: token } = (await exchange(issuer.sign(claims))).body;
    for (const service of [factory.service, replica]) {
      expect((await factory.present(token, undefined, service)).status).toBe(200);
    }
    await factory.distrust(id);
    for (const service of [factory.service, replica]) {
      expectProblem(await factory.present(token, undefined, service), "unauthenticated");
    }
  });

  it("is used up by a single-use rule, and the access token is not", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    const token = issuer.sign(claims);
    const { access_token: accessToken } = (await exchange(token)).body;
    expect((await exchange(token)).status).toBe(401);
    expectProblem(await factory.present(token), "unauthenticated");
    for (let times = 0; times < 2; times += 1) expect((await factory.present(accessToken)).status).toBe(200);
  });

  it("is not used up by a scope that no workload has, and opens no session for it", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    const token = issuer.sign(claims);
    const opened = (await factory.events("session.opened")).length;
    expect((await exchange(token, undefined, { scope: "secrets:list" })).body.error).toBe("invalid_scope");
    expect(await factory.events("session.opened")).toHaveLength(opened);
    expect((await exchange(token, undefined, { scope: "registry-tokens:issue" })).status).toBe(200);
  });

  it("gives nothing in another factory: an access token is of its factory alone", async () => {
    const { claims } = await ruleFor();
    const other = await factory.service.createFactory();
    const { access_token: token } = (await exchange(issuer.sign(claims))).body;
    expectProblem(await factory.present(token, other.name), "not-found");
  });

  it("is answered one and the same refusal, whatever is wrong and whatever the factory, and not sooner than in 100 ms", async () => {
    const { claims } = await ruleFor();
    const other = await factory.service.createFactory();
    const wrong: [string, string][] = [
      [issuer.sign({ project_id: "nobody's" }), factory.factory.name],
      [issuer.sign({ ...claims, aud: "another" }), factory.factory.name],
      [issuer.sign(claims), other.name],
      [issuer.sign(claims), "no-such-factory"],
      [issuer.sign(claims), "no/factory"],
      ["a.b.c", factory.factory.name],
    ];
    const bodies = new Set<string>();
    for (const [token, name] of wrong) {
      const startedMs = performance.now();
      const reply = await exchange(token, name);
      expect(performance.now() - startedMs).toBeGreaterThan(98);
      expect(reply.status).toBe(401);
      const { requestId: _requestId, ...body } = reply.body;
      bodies.add(JSON.stringify(body));
    }
    expect([...bodies]).toHaveLength(1);
  });
});

describe("tokens of one kind are none of another:", () => {
  it("an access token of ours cannot be exchanged", async () => {
    const { claims } = await ruleFor();
    const { access_token: token } = (await exchange(issuer.sign(claims))).body;
    expect((await exchange(token)).status).toBe(401);
  });

  it("an issuer's token that says to be an access token of ours is refused", async () => {
    const { claims } = await ruleFor();
    const { access_token: token } = (await exchange(issuer.sign(claims))).body;
    const [header, payload] = token.split(".");
    const { iss, aud, sub, client_id } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    const { kid } = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
    const said = { ...claims, iss, aud, sub, client_id };
    for (const as of [{ typ: "at+jwt" }, { typ: "at+jwt", kid }, { typ: "at+jwt", kid, alg: "ES256" }, { kid }]) {
      expectProblem(await factory.present(issuer.sign(said, as)), "unauthenticated");
    }
  });
});
