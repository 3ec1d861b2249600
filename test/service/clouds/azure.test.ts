import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";

const tenantId = "409520d4-8100-4d1d-ad47-72432ddcc120";
const clientId = "11111111-2222-3333-4444-555555555555";
const clientSecret = "not-a-real-secret-1";
const host = "example.azurecr.io";
const armScope = "https://management.azure.com/.default";

let clouds: StandInClouds;

beforeAll(async () => {
  clouds = await startStandInClouds();
  clouds.azure.addRegistry("example");
  clouds.azure.directory.addServicePrincipal({
    tenantId,
    clientId,
    clientSecret,
    secretExpiresAt: clouds.clock.inSeconds(86_400),
    rights: { [host]: { "team/app": ["pull", "push"], "team/base": ["pull"] } },
  });
});

afterAll(() => clouds.close());

const Fields = z.record(z.string(), z.unknown());

async function post(toHost: string, path: string, form: Record<string, string>) {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const body = new URLSearchParams(form).toString();
  const answer = await clouds.request({ host: toHost, path, method: "POST", headers, body });
  return { status: answer.status, fields: Fields.parse(JSON.parse(answer.body)) };
}

function askEntra(changes: Record<string, string> = {}, tenant = tenantId) {
  const form = { grant_type: "client_credentials", client_id: clientId, client_secret: clientSecret, scope: armScope };
  return post("login.microsoftonline.com", `/${tenant}/oauth2/v2.0/token`, { ...form, ...changes });
}

async function askWithPassword(query: string, password = clientSecret) {
  const authorization = `Basic ${Buffer.from(`${clientId}:${password}`).toString("base64")}`;
  const answer = await clouds.request({ host, path: `/oauth2/token?${query}`, headers: { authorization } });
  return { status: answer.status, fields: Fields.parse(JSON.parse(answer.body)) };
}

async function pullStatus(bearer: unknown, repository: string): Promise<number> {
  const headers = { authorization: `Bearer ${bearer}` };
  return (await clouds.request({ host, path: `/v2/${repository}/manifests/latest`, headers })).status;
}

function claimsOf(token: unknown): Record<string, unknown> {
  return Fields.parse(JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString("utf8")));
}

describe("path A", () => {
  test("a password buys an access token for the scopes asked, and only those open", async () => {
    const answer = await askWithPassword(
      `service=${host}&scope=repository:team/app:pull&scope=repository:team/base:pull`,
    );
    expect(answer.status).toBe(200);
    const token = answer.fields.access_token;
    const claims = claimsOf(token);
    expect(Number(claims.exp) - Number(claims.iat)).toBe(4_500);
    expect(claims.access).toEqual([
      { type: "repository", name: "team/app", actions: ["pull"] },
      { type: "repository", name: "team/base", actions: ["pull"] },
    ]);
    expect(await pullStatus(token, "team/app")).toBe(200);
    expect(await pullStatus(token, "team/other")).toBe(401);
    expect(await pullStatus(`${token}x`, "team/app")).toBe(401);
  });

  test("less is granted than asked where the principal has less", async () => {
    const answer = await askWithPassword(
      `service=${host}&scope=repository:team/base:pull,push&scope=repository:team/other:pull`,
    );
    expect(claimsOf(answer.fields.access_token).access).toEqual([
      { type: "repository", name: "team/base", actions: ["pull"] },
    ]);
  });

  test("a wrong password, another service and a wildcard scope are refused", async () => {
    const scope = "scope=repository:team/app:pull";
    expect((await askWithPassword(`service=${host}&${scope}`, "not-a-real-secret-2")).status).toBe(401);
    expect((await askWithPassword(`service=other.azurecr.io&${scope}`)).status).toBe(401);
    expect((await askWithPassword(`service=${host}&scope=everything`)).status).toBe(400);
  });
});

describe("path C", () => {
  test("an Entra token becomes a refresh token, and that an access token for one repository", async () => {
    const entra = await askEntra();
    const exchange = { grant_type: "access_token", service: host, tenant: tenantId };
    const refresh = await post(host, "/oauth2/exchange", {
      ...exchange,
      access_token: String(entra.fields.access_token),
    });
    expect(refresh.status).toBe(200);
    const refreshClaims = claimsOf(refresh.fields.refresh_token);
    expect(Number(refreshClaims.exp) - Number(refreshClaims.iat)).toBe(10_800);
    const access = await post(host, "/oauth2/token", {
      grant_type: "refresh_token",
      service: host,
      scope: "repository:team/app:pull",
      refresh_token: String(refresh.fields.refresh_token),
    });
    expect(await pullStatus(access.fields.access_token, "team/app")).toBe(200);
    expect(await pullStatus(access.fields.access_token, "team/base")).toBe(401);
    expect(await pullStatus(refresh.fields.refresh_token, "team/app")).toBe(401);
  });

  test("an exchange is refused for another tenant and for a token that Entra did not issue", async () => {
    const token = String((await askEntra()).fields.access_token);
    const exchange = { grant_type: "access_token", service: host, tenant: tenantId, access_token: token };
    expect((await post(host, "/oauth2/exchange", { ...exchange, tenant: "other" })).status).toBe(401);
    expect((await post(host, "/oauth2/exchange", { ...exchange, access_token: `${token}x` })).status).toBe(401);
  });

  test.each([
    ["an unknown tenant", () => askEntra({}, "no-such-tenant"), 400, 90002],
    ["an unknown application", () => askEntra({ client_id: "nobody" }), 400, 700016],
    ["a wrong secret", () => askEntra({ client_secret: "not-a-real-secret-2" }), 401, 7000215],
    ["a scope that is none", () => askEntra({ scope: "https://management.azure.com" }), 400, 70011],
    ["an audience that the tenant lacks", () => askEntra({ scope: "https://vault.azure.net/.default" }), 400, 500011],
  ])("Entra refuses %s with its AADSTS code", async (_, ask, status, code) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(answer.fields.error_codes).toEqual([code]);
    expect(answer.fields.error_description).toMatch(new RegExp(`^AADSTS${code}: `));
  });

  test("Entra refuses a secret after its end", async () => {
    clouds.clock.advance(86_401);
    const answer = await askEntra();
    clouds.clock.advance(-86_401);
    expect(answer.fields.error_codes).toEqual([7000222]);
  });
});

test("a registry that refuses ARM tokens takes those for its own service, also in a sovereign cloud", async () => {
  const { host: usHost } = clouds.azure.addRegistry("example.azurecr.us", { refusesArmTokens: true });
  const principal = { tenantId, clientId: "us-client", clientSecret, rights: { [usHost]: { "*": ["pull" as const] } } };
  clouds.azure.directory.addServicePrincipal(principal);
  const statusFor = async (audience: string) => {
    const form = { grant_type: "client_credentials", client_id: "us-client", client_secret: clientSecret };
    const entra = await post("login.microsoftonline.us", `/${tenantId}/oauth2/v2.0/token`, {
      ...form,
      scope: `${audience}/.default`,
    });
    const exchange = { grant_type: "access_token", service: usHost, tenant: tenantId };
    return (await post(usHost, "/oauth2/exchange", { ...exchange, access_token: String(entra.fields.access_token) }))
      .status;
  };
  expect(await statusFor("https://management.usgovcloudapi.net")).toBe(401);
  expect(await statusFor("https://containerregistry.azure.net")).toBe(200);
});

test("what is recorded holds no secret", async () => {
  await askEntra();
  await askWithPassword(`service=${host}&scope=repository:team/app:pull`);
  const recorded = JSON.stringify(clouds.azure.entra.requests);
  expect(recorded).toContain(armScope);
  expect(recorded).not.toContain(clientSecret);
});
