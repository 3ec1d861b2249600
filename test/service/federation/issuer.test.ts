import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import {
  accountId,
  acr,
  clientId,
  ecr,
  type KeylessFactory,
  keylessConfig,
  pool,
  startKeylessFactory,
  wordsOf,
} from "./keyless-factory.js";

let own: KeylessFactory;
let clouds: StandInClouds;
beforeAll(async () => {
  own = await startKeylessFactory();
  ({ clouds } = own);
});
afterAll(() => own.close());

const get = (path: string, service: TestService = own.service) => service.as(undefined).get(path);
const metadata = "/.well-known/openid-configuration";

describe("the issuer of a factory", () => {
  it("says to anyone where its keys are, and may be cached", async () => {
    const { id } = own.factory;
    const reply = await get(`/federation/${id}${metadata}`).expect(200);
    const issuer = `https://secrets.example.com/federation/${id}`;
    expect(reply.headers["cache-control"]).toBe("public, max-age=300");
    expect(reply.body).toEqual({
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      scopes_supported: ["openid"],
      claims_supported: ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"],
    });
  });

  it("has a key before anything was signed, RSA of 2,048 bits, and none of those for access tokens", async () => {
    const reply = await get(`/federation/${own.factory.id}/.well-known/jwks.json`).expect(200);
    expect(reply.headers["cache-control"]).toBe("public, max-age=300");
    const jwk = { kty: "RSA", n: expect.any(String), e: "AQAB", kid: expect.any(String), use: "sig", alg: "RS256" };
    expect(reply.body).toEqual({ keys: [jwk] });
    expect(Buffer.from(reply.body.keys[0].n, "base64url")).toHaveLength(256);
    expect((await get("/.well-known/jwks.json")).body.keys).toEqual([]);
  });

  it.each([
    ["an id that nobody has", "00000000-0000-4000-8000-000000000000"],
    ["the name of the factory", ""],
    ["something that is no id", "%00"],
    ["the id in capitals", "UPPER"],
  ])("is not there under %s", async (_case, given) => {
    const id = given === "" ? own.factory.name : given === "UPPER" ? own.factory.id.toUpperCase() : given;
    for (const path of [metadata, "/.well-known/jwks.json"]) {
      const reply = await get(`/federation/${id}${path}`);
      expect({ status: reply.status, code: reply.body.code }).toEqual({ status: 404, code: "not-found" });
    }
  });
});

describe("what is printed to make clouds trust a factory", () => {
  const subjectOf = (entry: string) => `factory:${own.factory.id}:entry:${entry}`;
  beforeAll(() => own.putConfig(keylessConfig({ provider: "own-factory", account: own.serviceAccount })));

  it("names issuer, subject and audience of each entry, and the subjects fit every cloud", async () => {
    const { issuer, metadataUrl, remarks, entries } = await own.federationOf(own.factory.name);
    expect(issuer).toBe(`https://secrets.example.com/federation/${own.factory.id}`);
    expect(metadataUrl).toBe(`${issuer}${metadata}`);
    expect(remarks).toEqual([]);
    expect(entries.map(({ subject, audience, keyless }) => ({ subject, audience, keyless }))).toEqual([
      { subject: subjectOf(ecr), audience: "sts.amazonaws.com", keyless: true },
      { subject: subjectOf(acr), audience: "api://AzureADTokenExchange", keyless: true },
      {
        subject: subjectOf("us-docker.pkg.dev"),
        audience: `https://iam.googleapis.com/${pool}/providers/own-factory`,
        keyless: true,
      },
    ]);
    for (const { subject } of entries) expect(subject.length).toBeLessThanOrEqual(127);
  });

  it("is a trust policy that lets in exactly that, and commands that a shell reads as they are meant", async () => {
    const { issuer, entries } = await own.federationOf(own.factory.name);
    const [ofAws, ofAzure, ofGoogle] = entries.map(({ trust }) => trust);
    const provider = issuer.replace("https://", "");
    expect(JSON.parse(ofAws?.[1]?.text ?? "")).toEqual({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Principal: { Federated: `arn:aws:iam::${accountId}:oidc-provider/${provider}` },
          Action: "sts:AssumeRoleWithWebIdentity",
          Condition: {
            StringEquals: { [`${provider}:aud`]: "sts.amazonaws.com", [`${provider}:sub`]: subjectOf(ecr) },
          },
        },
      ],
    });
    expect(wordsOf(ofAws?.[2]?.text ?? "")).toEqual(
      expect.arrayContaining(["update-assume-role-policy", "--role-name", "pull"]),
    );
    const [, , , , , id, , parameters] = wordsOf(ofAzure?.[0]?.text ?? "");
    expect(id).toBe(clientId);
    expect(JSON.parse(parameters ?? "")).toEqual({
      name: expect.stringMatching(/^[a-z0-9-]{3,120}$/),
      issuer,
      subject: subjectOf(acr),
      audiences: ["api://AzureADTokenExchange"],
    });
    const words = [...wordsOf(ofGoogle?.[0]?.text ?? ""), ...wordsOf(ofGoogle?.[1]?.text ?? "")];
    expect(words).toEqual(
      expect.arrayContaining([
        issuer,
        "417181920212",
        "google.subject=assertion.sub",
        own.serviceAccount,
        `principal://iam.googleapis.com/${pool}/subject/${subjectOf("us-docker.pkg.dev")}`,
      ]),
    );
  });

  it("is there before an entry gives its secret up, with what is not known yet in capitals", async () => {
    const document = [
      "- {type: aws, region: cn-north-1, aws_creds_secret_name: a}",
      "- {type: azure, url: example.azurecr.us, azure_principal_secret_name: b}",
      "- {type: azure, url: example.azurecr.cn, azure_principal_secret_name: c}",
      "- {type: gar, gar_creds_secret_name: d}",
      "- {type: generic, url: ghcr.io, generic_secret_name: e}",
    ];
    const put = own.service.as(own.service.operatorToken).put(`/v1/factories/${own.other.name}/config`);
    await put
      .query({ allowMissingSecrets: "true" })
      .set("Content-Type", "application/yaml")
      .send(document.join("\n"))
      .expect(201);
    const { entries } = await own.federationOf(own.other.name);
    expect(entries.map(({ keyless }) => keyless)).toEqual([false, false, false, false]);
    expect(entries.map(({ audience }) => audience)).toEqual([
      "sts.amazonaws.com",
      "api://AzureADTokenExchangeUSGov",
      "api://AzureADTokenExchangeChina",
      expect.stringContaining("/projects/PROJECT_NUMBER/"),
    ]);
    expect(entries[0]?.trust[1]?.text).toContain("arn:aws-cn:iam::ACCOUNT_ID:oidc-provider/");
    for (const { trust } of entries) for (const { format, text } of trust) if (format === "sh") wordsOf(text);
  });

  it("takes config:read", async () => {
    const path = `/v1/factories/${own.factory.name}/federation`;
    const { token } = await own.service.createApiToken(own.factory.name, ["secrets:write", "audit:read"]);
    expect((await own.service.as(token).get(path)).body).toMatchObject({ status: 403, code: "forbidden" });
    const reader = await own.service.createApiToken(own.factory.name, ["config:read"]);
    await own.service.as(reader.token).get(path).expect(200);
    const foreign = await own.service.createApiToken(own.other.name, ["config:read"]);
    await own.service.as(foreign.token).get(path).expect(404);
  });
});

describe("a service that no cloud can come to", () => {
  it.each([
    ["without a public name", {}, "FACTORY_SECRETS_PUBLIC_URL is not set"],
    [
      "with one over http",
      { FACTORY_SECRETS_PUBLIC_URL: "http://secrets.example.com" },
      "FACTORY_SECRETS_PUBLIC_URL is not https",
    ],
  ])("%s says so, and signs nothing", async (_case, settings: Record<string, string>, sentence) => {
    const service = await startTestService(settings, own.service);
    const { token } = await service.openJob(own.factory.name);
    const replies = [
      await service.as(token).post(`/v1/factories/${own.factory.name}/registry-tokens`).send({ registry: ecr }),
      await service.as(service.operatorToken).get(`/v1/factories/${own.factory.name}/federation`),
      await get(`/federation/${own.factory.id}${metadata}`, service),
    ];
    for (const { body } of replies) {
      expect(body).toMatchObject({ status: 422, code: "federation-unavailable" });
      expect(body.detail).toContain(sentence);
    }
    expect(clouds.webIdentities.seen).toEqual([]);
    await service.close();
  });

  it("is warned of names that clouds will not take", async () => {
    const service = await startTestService({ FACTORY_SECRETS_PUBLIC_URL: "https://127.0.0.1:8443" }, own.service);
    const { body } = await service.as(service.operatorToken).get(`/v1/factories/${own.factory.name}/federation`);
    expect(body.remarks).toEqual([
      expect.stringContaining("AWS takes no issuer with a port"),
      expect.stringContaining("public DNS"),
    ]);
    await service.close();
  });
});
