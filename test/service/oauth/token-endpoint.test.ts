import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createToken } from "../../../src/identity/token.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { askToken, login, makeClient, refresh, type TestClient, watchIssued } from "./oauth-factory.js";

const own = "token-endpoint-own";
const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
let service: TestService;
let client: TestClient;

beforeAll(async () => {
  service = await startTestService();
  await service.createFactory(own);
  await service.createFactory("token-endpoint-other");
  client = await makeClient(service, own, { permissions: ["secrets:list", "secrets:write"] });
});
afterAll(() => service.close());

const basic = (id: string, secret: string) => ({
  Authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64")}`,
});

describe("client_credentials", () => {
  it("answers what fioctl reads, and keeps it out of caches", async () => {
    const reply = await login(service, client);
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({ "cache-control": "no-store", pragma: "no-cache" });
    expect(reply.body).toEqual({
      token_type: "Bearer",
      access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      refresh_token: expect.stringMatching(/^fsr_/),
      expires_in: 840,
      scope: "secrets:list secrets:write",
      orgs: [{ name: own }],
    });
    watchIssued(reply.body);
  });

  it("answers at the path without a slash too, and takes HTTP Basic", async () => {
    const reply = await askToken(service, { grant_type: "client_credentials" }, basic(client.id, client.secret));
    expect(reply.status).toBe(200);
    const { url } = service;
    const plain = await fetch(`${url}/oauth/token`, {
      method: "POST",
      headers: basic(client.id, client.secret),
      body: new URLSearchParams({ grant_type: "client_credentials" }),
    });
    expect(plain.status).toBe(200);
  });

  it("takes the access token as OSF-TOKEN, as a bearer, and as base64 of it", async () => {
    const { access_token: token } = (await login(service, client)).body;
    const path = `/projects/${own}/lmp/triggers/`;
    await service.as(token).get(path).expect(200);
    for (const bearer of [token, Buffer.from(token).toString("base64")]) {
      await service.as(undefined).get(path).set("Authorization", `Bearer ${bearer}`).expect(200);
    }
    const { body } = await service.as(token).get("/v1/whoami").expect(200);
    expect(body).toMatchObject({ kind: "oauth-client", name: "test client", factory: own });
  });

  it("narrows to the scope that is asked for, and gives nothing that the client lacks", async () => {
    const narrow = await login(service, client, { scope: "secrets:list" });
    expect(narrow.body.scope).toBe("secrets:list");
    await service.as(narrow.body.access_token).put(`/v1/factories/${own}/secrets/a`).send({ value: "x" }).expect(403);
    for (const scope of ["secrets:list access:write", "nonsense", "secrets:list secrets:list  "]) {
      const refused = await login(service, client, { scope });
      expect(refused.status).toBe(400);
      expect(refused.body.error).toBe("invalid_scope");
    }
    const { body } = await login(service, client, { scope: "access:write secrets:reed fsc_what-looks-like-a-secret" });
    expect(body.detail).toMatch(/It lacks access:write\. There is no permission secrets:reed\.$/);
  });

  it("reaches nothing in another factory: the 404 of one that does not exist", async () => {
    const { access_token: token } = (await login(service, client)).body;
    const bodies = await Promise.all(
      ["token-endpoint-other", "no-such-factory"].map(async (factory) => {
        const { body } = await service.as(token).get(`/v1/factories/${factory}/secrets`).expect(404);
        return { ...body, requestId: "" };
      }),
    );
    expect(bodies[0]).toEqual(bodies[1]);
  });

  it("opens jobs that outlive the access token, and names the client in the audit", async () => {
    const ci = await makeClient(service, own, { roles: ["ci"] });
    const { access_token: token } = (await login(service, ci)).body;
    const job = await service.as(token).post(`/v1/factories/${own}/jobs`).send({ name: "a job" }).expect(201);
    expect(Date.parse(job.body.expiresAt) - Date.now()).toBeGreaterThan(3_500_000);
    const { body } = await service
      .as(service.operatorToken)
      .get(`/v1/factories/${own}/audit?action=job.opened`)
      .expect(200);
    expect(body.items[0].actor).toEqual({ kind: "oauth-client", id: ci.id, name: "test client" });
  });
});

describe("a request that is refused", () => {
  const grant = { grant_type: "client_credentials" };
  const lasting = ({ requestId: _id, ...body }: Record<string, unknown>): unknown => body;

  it("is one and the same 401 whether the client or its secret is unknown, mistyped or of another", async () => {
    const other = await makeClient(service, own, { permissions: ["secrets:list"] });
    const removed = await makeClient(service, own, { permissions: ["secrets:list"] });
    await service.as(service.operatorToken).delete(`/v1/factories/${own}/oauth-clients/${removed.id}`).expect(204);
    const bodies = new Set<string>();
    for (const [id, secret] of [
      [client.id, createToken("client-secret")],
      [client.id, other.secret],
      [client.id, `${client.secret.slice(0, -1)}!`],
      [client.id, ""],
      ["not-a-uuid", client.secret],
      ["3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d", client.secret],
      [removed.id, removed.secret],
    ] as const) {
      for (const reply of [
        await askToken(service, { ...grant, client_id: id, client_secret: secret }),
        await askToken(service, grant, basic(id, secret)),
      ]) {
        expect(reply.status).toBe(401);
        expect(reply.headers["www-authenticate"]).toMatch(/^Basic realm=/);
        bodies.add(JSON.stringify(lasting(reply.body)));
      }
    }
    expect(bodies.size).toBe(1);
    expect(JSON.parse([...bodies][0] ?? "")).toMatchObject({ error: "invalid_client", code: "invalid-client" });
  });

  it.each([
    ["no grant type", "client_id=x", "invalid_request"],
    ["an unknown grant type", "grant_type=password&username=a&password=b", "unsupported_grant_type"],
    ["a field that stands twice", "grant_type=client_credentials&grant_type=refresh_token", "invalid_request"],
    ["a percent sign that decodes to nothing", "grant_type=%zz", "invalid_request"],
    ["a blank that is not encoded", "grant_type=client credentials", "invalid_request"],
    ["bytes that are not UTF-8", "grant_type=%ff", "invalid_request"],
    ["no body", "", "invalid_request"],
    ["an exchange without a token", `grant_type=${encodeURIComponent(exchange)}&factory=a`, "invalid_request"],
  ])("names %s, where RFC 6749 and fioctl look for it", async (_what, text, error) => {
    const reply = await askToken(service, text);
    expect(reply.status).toBe(400);
    expect(reply.headers).toMatchObject({ "content-type": "application/json", "cache-control": "no-store" });
    expect(reply.body).toMatchObject({ error, status: 400, message: reply.body.detail });
    expect(reply.body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
  });

  it("is one that presents the client twice, or in JSON, or by another scheme", async () => {
    const both = { ...grant, client_id: client.id, client_secret: client.secret };
    const twice = await askToken(service, both, basic(client.id, client.secret));
    expect([twice.status, twice.body.error]).toEqual([400, "invalid_request"]);
    const json = await service.as(undefined).post("/oauth/token/").send(both);
    expect([json.status, json.body.error]).toEqual([415, "invalid_request"]);
    expect(json.body.detail).toContain("With curl, send fields with -d name=value, and no Content-Type");
    const large = await askToken(service, { ...grant, scope: "s".repeat(30_000) });
    expect([large.status, large.body.error]).toEqual([413, "invalid_request"]);
    const bearer = await askToken(service, both, { Authorization: `Bearer ${client.secret}` });
    expect([bearer.status, bearer.body.error]).toEqual([401, "invalid_client"]);
  });

  it("is an ID token that no rule lets in: the 401 of the API", async () => {
    const reply = await askToken(service, {
      grant_type: exchange,
      factory: own,
      subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
      subject_token: "a.b.c",
    });
    expect([reply.status, reply.body.code, reply.body.error]).toEqual([401, "unauthenticated", "invalid_request"]);
  });

  it("is a client's secret or a refresh token that is sent to the API: the one 401", async () => {
    const { refresh_token: refreshToken } = (await login(service, client)).body;
    for (const token of [client.secret, refreshToken]) {
      const reply = await service.as(token).get("/v1/whoami");
      expect([reply.status, reply.body.code]).toEqual([401, "unauthenticated"]);
    }
  });
});

describe("the published metadata", () => {
  it("names the issuer, the endpoints and the keys, and may be cached", async () => {
    const server = await service.as(undefined).get("/.well-known/oauth-authorization-server").expect(200);
    expect(server.body).toMatchObject({
      issuer: service.url,
      token_endpoint: `${service.url}/oauth/token/`,
      jwks_uri: `${service.url}/.well-known/jwks.json`,
    });
    const keys = await service.as(undefined).get("/.well-known/jwks.json").expect(200);
    expect(keys.headers["cache-control"]).toBe("public, max-age=300");
    expect(keys.body.keys[0]).toMatchObject({ kty: "EC", crv: "P-256", use: "sig", alg: "ES256" });
    expect(keys.body.keys[0]).not.toHaveProperty("d");
  });
});

it("refuses a refresh by another client", async () => {
  const other = await makeClient(service, own, { permissions: ["secrets:list"] });
  const { refresh_token: refreshToken } = (await login(service, client)).body;
  const reply = await refresh(service, other, refreshToken);
  expect([reply.status, reply.body.error]).toEqual([400, "invalid_grant"]);
});
