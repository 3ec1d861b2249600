import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { authorizationOf, pull } from "../../support/broker/brokered-factory.js";
import {
  acr,
  acrOfGovernment,
  clientId,
  ecr,
  gar,
  jobOf,
  type KeylessFactory,
  keylessConfig,
  pool,
  roleArn,
  startKeylessFactory,
  tenantId,
  trustAtAws,
  trustAtAzure,
  trustAtGoogle,
  trustEverywhere,
} from "./keyless-factory.js";

let own: KeylessFactory;
let job: string;
beforeAll(async () => {
  own = await startKeylessFactory();
  await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount }));
  await trustEverywhere(own, own.factory.name);
  job = (await own.openJob()).token;
});
afterAll(() => own.close());
beforeEach(() => {
  for (const endpoint of [own.clouds.aws.sts, own.clouds.azure.entra, own.clouds.google.sts]) endpoint.forget();
});

describe("a factory without any secret", () => {
  it("gets tokens of ECR, ACR and Artifact Registry, and each opens its registry", async () => {
    const reply = await own.ask(job);
    expect(reply.status).toBe(200);
    expect(reply.body.tokens).toMatchObject([
      { registry: ecr, type: "aws", kind: "password", username: "AWS", scopeEnforcedBy: "none" },
      { registry: acr, type: "azure", kind: "password", scopeEnforcedBy: "none" },
      { registry: gar, type: "gar", kind: "password", username: "oauth2accesstoken", scopeEnforcedBy: "none" },
    ]);
    const [ofEcr, , ofGar] = reply.body.tokens;
    expect(await pull(own.clouds, ecr, "team/app", authorizationOf(ofEcr))).toBe(200);
    expect(await pull(own.clouds, gar, "project/images/app", authorizationOf(ofGar))).toBe(200);
    expect(await pull(own.clouds, gar, "elsewhere/images/app", authorizationOf(ofGar))).toBe(403);
    expect(own.clouds.google.issuedToken(ofGar.password)?.email).toBe(own.serviceAccount);
  });

  it("has stored no credential at all", async () => {
    const { rows } = await own.service.database.pool.query(
      `SELECT (SELECT count(*) FROM secrets WHERE factory_id = ANY($1))::int AS secrets,
         (SELECT count(*) FROM approved_destinations WHERE factory_id = ANY($1))::int AS places`,
      [[own.factory.id, own.other.id]],
    );
    expect(rows).toEqual([{ secrets: 0, places: 0 }]);
  });

  it("gets tokens that the clouds hold to the repositories, where they can", async () => {
    const ofEcr = await own.ask(job, { registry: ecr, repositories: ["team/app"] });
    expect(ofEcr.body.tokens).toMatchObject([{ repositories: ["team/app"], scopeEnforcedBy: "iam-session-policy" }]);
    const password = authorizationOf(ofEcr.body.tokens[0]);
    expect(await pull(own.clouds, ecr, "team/app", password)).toBe(200);
    expect(await pull(own.clouds, ecr, "team/other", password)).toBe(403);
    expect(own.clouds.aws.sts.calls("AssumeRoleWithWebIdentity")).toBeGreaterThan(0);
    expect(own.clouds.aws.sts.requests.every(({ authorization }) => authorization === "none")).toBe(true);
    const ofAcr = await own.ask(job, { registry: acr, repositories: ["team/app"] });
    expect(ofAcr.body.tokens).toMatchObject([{ kind: "bearer", scopeEnforcedBy: "registry" }]);
    const bearer = authorizationOf(ofAcr.body.tokens[0]);
    expect(await pull(own.clouds, acr, "team/app", bearer)).toBe(200);
    expect(await pull(own.clouds, acr, "team/other", bearer)).toBe(401);
    const ofGar = await own.ask(job, { registry: gar, repositories: ["project/images/app"] });
    expect(ofGar.body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
  });

  it("is answered from memory while its tokens are fresh, and its audit names the principal instead of a secret", async () => {
    await own.ask(job);
    own.clouds.webIdentities.seen.length = 0;
    await own.ask(job);
    expect(own.clouds.webIdentities.seen).toEqual([]);
    const rows = (await own.events("registry-token.issued")).slice(-3);
    expect(rows.map(({ principal }) => principal)).toEqual([roleArn, clientId, own.serviceAccount]);
    for (const row of rows) {
      expect(row).toMatchObject({ cached: true });
      expect(row).not.toHaveProperty("secret");
      expect(row).not.toHaveProperty("secretVersion");
    }
    const { body } = await own.service.as(own.service.operatorToken).get(`/v1/factories/${own.factory.name}/audit`);
    expect(body.items[0]).toMatchObject({ principal: expect.any(String) });
  });

  it("says who asks, in an assertion that is for one cloud, once and for five minutes", async () => {
    own.clouds.webIdentities.seen.length = 0;
    await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount, role: `${roleArn}-2` }));
    await own.ask(job, { registry: ecr });
    await own.ask(job, { registry: ecr });
    await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount }));
    const parts = own.clouds.webIdentities.seen.map((token) =>
      token.split(".").map((part) => Buffer.from(part, "base64url").toString("utf8")),
    );
    const [header, claims] = (parts[0] ?? []).slice(0, 2).map((part) => JSON.parse(part));
    expect(header).toEqual({ alg: "RS256", typ: "JWT", kid: expect.stringMatching(/^[\w-]{43}$/) });
    expect(claims).toEqual({
      iss: `https://secrets.example.com/federation/${own.factory.id}`,
      sub: `factory:${own.factory.id}:entry:${ecr}`,
      aud: "sts.amazonaws.com",
      iat: expect.any(Number),
      nbf: claims.iat,
      exp: claims.iat + 300,
      jti: expect.any(String),
      factory_secrets_use: "cloud-federation",
    });
    const ids = parts.map(([, payload]) => JSON.parse(payload ?? "").jti);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(1);
  });

  it("may be the federated principal itself at Google, without a service account", async () => {
    await own.putConfigOf(own.other.name, keylessConfig({ provider: "direct" }));
    trustAtGoogle(own.clouds, (await own.federationOf(own.other.name)).entries[2]);
    const direct = await jobOf(own.service, own.other.name);
    const asked = own.service.as(direct).post(`/v1/factories/${own.other.name}/registry-tokens`);
    const { body } = await asked.send({ registry: gar }).expect(200);
    const member = own.clouds.google.issuedToken(body.tokens[0].password);
    expect(member).toMatchObject({ email: expect.stringContaining(`principal://iam.googleapis.com/${pool}/subject/`) });
    expect(member?.scope).toBe("https://www.googleapis.com/auth/devstorage.read_only");
    expect(await pull(own.clouds, gar, "project/images/app", authorizationOf(body.tokens[0]))).toBe(200);
  });
});

describe("an Azure registry of another cloud", () => {
  it("has the audience of that cloud, and each of the two questions to Entra an assertion of its own", async () => {
    const { name } = await own.service.createFactory();
    const document = `- type: azure\n  url: ${acrOfGovernment}\n  azure_client_id: ${clientId}\n  azure_tenant_id: ${tenantId}\n`;
    await own.putConfigOf(name, document);
    trustAtAzure(own.clouds, (await own.federationOf(name)).entries[0]);
    own.clouds.webIdentities.seen.length = 0;
    const asked = own.service.as(await jobOf(own.service, name)).post(`/v1/factories/${name}/registry-tokens`);
    const { body } = await asked.send({ repositories: ["team/app"], registry: acrOfGovernment }).expect(200);
    expect(await pull(own.clouds, acrOfGovernment, "team/app", authorizationOf(body.tokens[0]))).toBe(200);
    const claims = own.clouds.webIdentities.seen.map((token) =>
      JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")),
    );
    expect(claims.map(({ aud }) => aud)).toEqual([
      "api://AzureADTokenExchangeUSGov",
      "api://AzureADTokenExchangeUSGov",
    ]);
    expect(claims[0].jti).not.toBe(claims[1].jti);
  });
});

describe("a tenant that names the role, the client and the provider of another", () => {
  let thief: string;
  let name: string;
  const askAsThief = async (registry: string) =>
    (await own.service.as(thief).post(`/v1/factories/${name}/registry-tokens`).send({ registry })).body;
  beforeAll(async () => {
    ({ name } = await own.service.createFactory());
    await own.putConfigOf(name, keylessConfig({ provider: "own-factory", account: own.serviceAccount }));
    thief = await jobOf(own.service, name);
  });

  it("gets nothing of any of them, and is told what does not fit", async () => {
    const refused = { status: 502, code: "upstream-refused" };
    const ofAws = await askAsThief(ecr);
    expect(ofAws).toMatchObject({ ...refused, detail: expect.stringContaining("InvalidIdentityToken") });
    const ofAzure = await askAsThief(acr);
    expect(ofAzure).toMatchObject({ ...refused, detail: expect.stringContaining("AADSTS700211") });
    const ofGoogle = await askAsThief(gar);
    expect(ofGoogle).toMatchObject({ ...refused, detail: expect.stringContaining("invalid_grant") });
    for (const { detail } of [ofAws, ofAzure, ofGoogle]) {
      expect(detail).toContain("GET /v1/factories/{factory}/federation");
      expect(detail).toContain("federated identity of registry entry");
    }
  });

  it("gets nothing either where its own issuer is known to the same account and pool", async () => {
    const { issuer, entries } = await own.federationOf(name);
    own.clouds.aws.iam.addOidcProvider("123456789012", issuer, ["sts.amazonaws.com"]);
    expect(await askAsThief(ecr)).toMatchObject({ detail: expect.stringContaining("AccessDenied") });
    own.clouds.google.addProvider(`${pool}/providers/thief`, { issuer });
    await own.putConfigOf(name, keylessConfig({ provider: "thief", account: own.serviceAccount }));
    expect(await askAsThief(gar)).toMatchObject({ detail: expect.stringContaining("workloadIdentityUser") });
    expect(entries.map(({ subject }) => subject).every((subject) => !subject.includes(own.factory.id))).toBe(true);
  });

  it("is refused for another entry of the right factory too", async () => {
    const second = `${keylessConfig({ provider: "own-factory" })}- type: aws\n  region: us-east-2\n  aws_role_arn: ${roleArn}\n`;
    await own.putConfig(second);
    const reply = await own.ask(job, { registry: "aws:us-east-2" });
    expect(reply.body).toMatchObject({ code: "upstream-refused", detail: expect.stringContaining("AccessDenied") });
    const failed = (await own.events("registry-token.failed")).at(-1);
    expect(failed).toMatchObject({ principal: roleArn, code: "upstream-refused", entry: "aws:us-east-2" });
    await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount }));
  });
});

describe("a keyless entry", () => {
  it("is opened by the config alone: config:write is enough, and still cannot name a secret", async () => {
    const { token } = await own.service.createApiToken(own.other.name, ["config:read", "config:write"]);
    const put = (document: string) =>
      own.service
        .as(token)
        .put(`/v1/factories/${own.other.name}/config`)
        .query({ allowMissingSecrets: "true" })
        .set("Content-Type", "application/yaml")
        .send(document);
    await put(keylessConfig({ provider: "mine" })).expect(200);
    const refused = await put(`- type: aws\n  url: ${ecr}\n  aws_creds_secret_name: aws_creds\n`);
    expect(refused.body).toMatchObject({ status: 403, code: "destination-not-approved" });
  });

  it("never meets a token of the role that it named before", async () => {
    const first = await own.ask(job, { registry: ecr });
    const role = { accountId: "123456789012", roleName: "other", trusts: [], maxSessionSeconds: 3_600 };
    const trust = (await own.federationOf(own.factory.name)).entries[0]?.trust[1]?.text ?? "";
    own.clouds.aws.iam.addRole({ ...role, webIdentityTrust: trust });
    const other = "arn:aws:iam::123456789012:role/other";
    await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount, role: other }));
    const second = await own.ask(job, { registry: ecr });
    expect(second.body.tokens[0].password).not.toBe(first.body.tokens[0].password);
    expect(own.clouds.aws.issuedPassword(second.body.tokens[0].password)?.principal.arn).toContain("role/other");
    await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount }));
  });

  it("is told apart when the cloud cannot reach the issuer", async () => {
    own.clouds.webIdentities.forget("secrets.example.com");
    const reply = await own.ask(job, { registry: ecr, repositories: ["team/unreached"] });
    own.clouds.webIdentities.reach("secrets.example.com", own.service.url);
    expect(reply.body).toMatchObject({ status: 502, code: "upstream-refused" });
    expect(reply.body.detail).toContain("could not fetch the keys of this service from its public URL");
  });
});

it("ends with its factory: nobody signs for it, its issuer is gone, and no cloud believes what it signed", async () => {
  const { name } = await own.service.createFactory();
  await own.putConfigOf(name, keylessConfig({ provider: "ending", account: own.serviceAccount }));
  const federation = await own.federationOf(name);
  trustAtAws(own.clouds, federation.entries[0]);
  const token = await jobOf(own.service, name);
  const ask = () => own.service.as(token).post(`/v1/factories/${name}/registry-tokens`).send({ registry: ecr });
  await ask().expect(200);
  const signed = own.clouds.webIdentities.seen.at(-1) ?? "";
  await expect(own.clouds.webIdentities.verify(signed)).resolves.toMatchObject({ issuer: federation.issuer });
  await own.service.as(own.service.operatorToken).delete(`/v1/factories/${name}`).expect(204);
  await ask().expect(401);
  for (const url of [federation.metadataUrl, federation.jwksUri]) {
    const { status, body } = await own.service.as(undefined).get(new URL(url).pathname);
    expect({ status, code: body.code }).toEqual({ status: 404, code: "not-found" });
  }
  await expect(own.clouds.webIdentities.verify(signed)).rejects.toThrow("issuer");
});
