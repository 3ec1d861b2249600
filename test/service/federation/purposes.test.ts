import { randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditWriter } from "../../../src/audit/record.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { Generations } from "../../../src/db/generations.js";
import { apiAccess, federation } from "../../../src/identity/oauth/keys/rotate-signing-key.js";
import { SigningKeys } from "../../../src/identity/oauth/keys/signing-keys.js";
import { login, makeClient } from "../oauth/oauth-factory.js";
import { ecr, type KeylessFactory, keylessConfig, startKeylessFactory, trustEverywhere } from "./keyless-factory.js";

const issuer = "https://secrets.example.com";
let own: KeylessFactory;
let assertion: string;
let accessToken: string;
let federationKey: Awaited<ReturnType<SigningKeys["forSigning"]>>;
let accessKey: typeof federationKey;

beforeAll(async () => {
  own = await startKeylessFactory();
  await own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount }));
  await trustEverywhere(own, own.factory.name);
  await own.ask((await own.openJob()).token, { registry: ecr });
  assertion = own.clouds.webIdentities.seen.at(-1) ?? "";
  const client = await makeClient(own.service, own.factory.name, { permissions: ["secrets:list"] });
  accessToken = (await login(own.service, client)).body.access_token;
  const { prisma, pool } = own.service.database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: own.service.key });
  const deps = { prisma, audit: new AuditWriter(pool), keys, generations: new Generations(), now: () => new Date() };
  federationKey = await new SigningKeys(deps, federation).forSigning();
  accessKey = await new SigningKeys(deps, apiAccess).forSigning();
});
afterAll(() => own.close());

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
const statusOf = async (token: string) => {
  const bearer = own.service.as(undefined).set("Authorization", `Bearer ${token}`);
  return (await bearer.get(`/v1/factories/${own.factory.name}/jobs`)).status;
};
const federationSigned = (claims: object, typ = "JWT") =>
  jwt.sign(claims, federationKey.key, { algorithm: "RS256", header: { alg: "RS256", typ, kid: federationKey.id } });

describe("what is signed for the clouds", () => {
  it("was taken by a cloud", async () => {
    await expect(own.clouds.webIdentities.verify(assertion)).resolves.toMatchObject({ audience: "sts.amazonaws.com" });
  });

  it("opens nothing here by itself", async () => {
    expect(await statusOf(assertion)).toBe(401);
    expect(await statusOf(Buffer.from(assertion).toString("base64"))).toBe(401);
  });

  it("opens nothing here by a rule that trusts the factory's own issuer, which another token of that key would", async () => {
    const { metadataUrl, jwksUri, ...of } = await own.federationOf(own.factory.name);
    const jwks = JSON.stringify((await own.service.as(undefined).get(new URL(jwksUri).pathname)).body);
    const rule = {
      name: "itself",
      template: "generic",
      issuer: of.issuer,
      audience: "sts.amazonaws.com",
      conditions: [{ claim: "sub", equals: of.entries[0]?.subject }],
      grants: [{ registry: ecr, actions: ["pull"] }],
      jwks,
    };
    const made = await own.service
      .as(own.service.operatorToken)
      .post(`/v1/factories/${own.factory.name}/trust-rules`)
      .send(rule);
    expect(made.status, made.text).toBe(201);
    const asked = (token: string) => own.ask(token, { registry: ecr });
    expect((await asked(assertion)).status).toBe(401);
    // The rule does work: only the claim makes the difference.
    const { factory_secrets_use: _use, ...claims } = claimsOf(assertion);
    expect((await asked(federationSigned({ ...claims, jti: randomUUID() }))).status).toBe(200);
    expect((await asked(federationSigned({ ...claims, factory_secrets_use: "" }))).status).toBe(401);
  });

  it("is no access token, whatever its header and claims say", async () => {
    const { alg: _alg, ...claims } = claimsOf(accessToken);
    expect(await statusOf(federationSigned(claims, "at+jwt"))).toBe(401);
    const header = { alg: "ES256", typ: "at+jwt", kid: federationKey.id } as const;
    expect(await statusOf(jwt.sign(claims, accessKey.key, { algorithm: "ES256", header }))).toBe(401);
  });
});

describe("an access token of this service", () => {
  it("opens this service", async () => {
    expect((await own.service.as(accessToken).get("/v1/whoami")).status).toBe(200);
  });

  it("is believed by no cloud", async () => {
    await expect(own.clouds.webIdentities.verify(accessToken)).rejects.toThrow(/refused/);
  });

  it("would not be either with the issuer and claims of a factory: its key is none of those that clouds fetch", async () => {
    const claims: Record<string, unknown> = { ...claimsOf(assertion), jti: randomUUID() };
    const header = { alg: "ES256", typ: "JWT", kid: accessKey.id } as const;
    const forged = jwt.sign(claims, accessKey.key, { algorithm: "ES256", header });
    await expect(own.clouds.webIdentities.verify(forged)).rejects.toThrow("signature");
    expect(String(claims.iss)).toBe(`${issuer}/federation/${own.factory.id}`);
  });
});
