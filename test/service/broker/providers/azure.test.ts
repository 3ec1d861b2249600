import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AzureEntry } from "../../../../src/factory-config/entry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { authorizationOf, type MintOptions, mintAgainst } from "./mint-against.js";

const tenantId = "11111111-2222-3333-4444-555555555555";
const clientId = "66666666-7777-8888-9999-000000000000";
const clientSecret = "not-a-real-secret-1:with-colon";
const pair = `${clientId}:${clientSecret}\n`;
const json = JSON.stringify({ appId: clientId, displayName: "ci", password: clientSecret, tenant: tenantId });

let clouds: StandInClouds;
let registry: ReturnType<StandInClouds["azure"]["addRegistry"]>;
beforeAll(async () => {
  clouds = await startStandInClouds();
  registry = clouds.azure.addRegistry("example");
  const rights = { [registry.host]: { "team/app": ["pull"], "team/base": ["pull"] } } as const;
  clouds.azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret, rights });
});
afterAll(() => clouds.close());
beforeEach(() => {
  registry.endpoint.heal();
  registry.endpoint.forget();
  clouds.azure.entra.heal();
  clouds.azure.entra.forget();
});

const entry: AzureEntry = {
  id: "example.azurecr.io",
  type: "azure",
  host: "example.azurecr.io",
  secretName: "azprincipal",
};
const mint = (secret: string, options: MintOptions = {}, more: Partial<AzureEntry> = {}) =>
  mintAgainst(clouds, { ...entry, ...more }, secret, options);

async function statusOf(authorization: string, repository: string): Promise<number> {
  const path = `/v2/${repository}/manifests/latest`;
  return (await clouds.request({ host: registry.host, path, headers: { authorization } })).status;
}

describe("an ACR token of one replica of a registry", () => {
  it("comes from that replica, and Entra is asked as for the whole registry", async () => {
    const replica = clouds.azure.addRegistry("example.eastus.geo.azurecr.io");
    const { host } = replica;
    const rights = { [host]: { "team/app": ["pull"] } } as const;
    const other = { clientId: "66666666-7777-8888-9999-000000000001", clientSecret: "not-a-real-secret-2" };
    clouds.azure.directory.addServicePrincipal({ tenantId, ...other, rights });
    const secret = `${other.clientId}:${other.clientSecret}`;
    const token = await mint(secret, { repositories: ["team/app"] }, { id: host, host, tenantId });
    expect(token).toMatchObject({ registry: host, kind: "bearer", repositories: ["team/app"] });
    expect(clouds.azure.entra.requests).toHaveLength(1);
    expect(replica.endpoint.requests.length).toBeGreaterThan(0);
    expect(registry.endpoint.requests).toEqual([]);
  });
});

describe("an ACR token without a tenant", () => {
  it("is a bearer for all the repositories asked for and no other", async () => {
    const token = await mint(pair, { repositories: ["team/app", "team/base"] });
    expect(token).toMatchObject({
      registry: registry.host,
      type: "azure",
      kind: "bearer",
      repositories: ["team/app", "team/base"],
      scopeEnforcedBy: "registry",
      scopeVerified: true,
    });
    const lifeSeconds = (token.expiresAt.getTime() - Date.now()) / 1_000;
    expect(lifeSeconds).toBeGreaterThan(4_400);
    expect(lifeSeconds).toBeLessThan(4_501);
    expect(await statusOf(authorizationOf(token), "team/base")).toBe(200);
    expect(await statusOf(authorizationOf(token), "team/other")).toBe(401);
    expect(clouds.azure.entra.requests).toEqual([]);
  });

  it("is refused when the registry grants less than asked, or more, or something that cannot be read", async () => {
    for (const repositories of [["team/app", "team/secret"], ["team/secret"]]) {
      const refusal = { code: "scope-not-enforceable", status: 422, detail: expect.stringContaining("team/secret") };
      await expect(mint(pair, { repositories })).rejects.toMatchObject(refusal);
    }
    const pull = { type: "repository", name: "team/app", actions: ["pull"] };
    for (const more of [{ ...pull, actions: ["pull", "push"] }, { ...pull, actions: "pull" }, null]) {
      clouds.azure.grant([pull, more]);
      await expect(mint(pair, { repositories: ["team/app"] })).rejects.toMatchObject({ code: "scope-not-enforceable" });
    }
    clouds.azure.grant([pull, { ...pull, name: "team/other", actions: null }]);
    await expect(mint(pair, { repositories: ["team/app"] })).resolves.toMatchObject({ scopeVerified: true });
    clouds.azure.grant("as asked");
  });

  it("needs repositories and names both ways out", async () => {
    await expect(mint(pair)).rejects.toMatchObject({
      code: "repositories-required",
      detail: expect.stringMatching(/"repositories".*azure_tenant_id/),
    });
  });

  it("is refused for a wrong password, naming secret and entry only", async () => {
    const call = mint(`${clientId}:not-a-real-secret-2`, { repositories: ["team/app"] });
    await expect(call).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringContaining('secret "azprincipal" (version 3) of registry entry "example.azurecr.io"'),
    });
    await expect(call).rejects.not.toMatchObject({ detail: expect.stringContaining("aka.ms") });
  });
});

describe("an ACR token with a tenant", () => {
  it.each([
    ["in the entry", pair, { tenantId }],
    ["in the secret", json, {}],
  ])("is a refresh token as password, %s", async (_where, secret, more) => {
    const token = await mint(secret, {}, more);
    expect(token).toMatchObject({
      kind: "password",
      username: "00000000-0000-0000-0000-000000000000",
      scopeEnforcedBy: "none",
    });
    expect(token).not.toHaveProperty("repositories");
    expect((token.expiresAt.getTime() - Date.now()) / 1_000).toBeGreaterThan(10_700);
    expect(clouds.azure.entra.requests[0]?.form.scope).toEqual(["https://management.azure.com/.default"]);
  });

  it("is a bearer when repositories are named", async () => {
    const token = await mint(pair, { repositories: ["team/app", "team/base"] }, { tenantId });
    expect(token).toMatchObject({
      kind: "bearer",
      repositories: ["team/app", "team/base"],
      scopeEnforcedBy: "registry",
      scopeVerified: true,
    });
    expect(await statusOf(authorizationOf(token), "team/app")).toBe(200);
    expect(await statusOf(authorizationOf(token), "team/other")).toBe(401);
  });

  it("offers the registry service's audience to a registry that refuses Azure Resource Manager's", async () => {
    const strict = clouds.azure.addRegistry("strict", { refusesArmTokens: true });
    clouds.azure.directory.addServicePrincipal({
      tenantId,
      clientId: "strict-app",
      clientSecret: "not-a-real-secret-4",
      rights: { [strict.host]: { "*": ["pull"] } },
    });
    const secret = JSON.stringify({ appId: "strict-app", password: "not-a-real-secret-4", tenant: tenantId });
    await expect(mint(secret, { host: strict.host })).resolves.toMatchObject({ kind: "password" });
    expect(clouds.azure.entra.requests.map((request) => request.form.scope?.[0])).toEqual([
      "https://management.azure.com/.default",
      "https://containerregistry.azure.net/.default",
    ]);
  });

  it("offers it too when the tenant does not know Azure Resource Manager's", async () => {
    const other = await startStandInClouds();
    const { host } = other.azure.addRegistry("example");
    other.azure.directory.addServicePrincipal({
      tenantId,
      clientId,
      clientSecret,
      rights: { [host]: { "*": ["pull"] } },
    });
    other.azure.forgetAudience("https://management.azure.com");
    await expect(mintAgainst(other, entry, json)).resolves.toMatchObject({ kind: "password" });
    await other.close();
  });

  it.each(["us", "cn"] as const)("goes to the login host of its own cloud for azurecr.%s", async (cloud) => {
    const sovereign = clouds.azure.addRegistry(`example.azurecr.${cloud}`);
    clouds.azure.directory.addServicePrincipal({
      tenantId,
      clientId: `app-${cloud}`,
      clientSecret: "not-a-real-secret-5",
      rights: { [sovereign.host]: { "*": ["pull"] } },
    });
    const secret = JSON.stringify({ appId: `app-${cloud}`, password: "not-a-real-secret-5", tenant: tenantId });
    await expect(mint(secret, { host: sovereign.host })).resolves.toMatchObject({ registry: sovereign.host });
    expect(clouds.azure.entraOf(cloud).requests).toHaveLength(1);
    expect(clouds.azure.entra.requests).toEqual([]);
  });

  it.each([
    [json.replace(clientSecret, "wrong-secret"), "AADSTS7000215, the client secret is wrong"],
    [json.replace(tenantId, "99999999-2222-3333-4444-555555555555"), "AADSTS90002, the tenant does not exist"],
    [json.replace(clientId, "app-that-is-gone"), "AADSTS700016, the application does not exist"],
  ])("explains Entra's refusal", async (secret, sentence) => {
    await expect(mint(secret)).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringContaining(sentence),
    });
  });

  it("explains an expired secret", async () => {
    const { directory } = clouds.azure;
    const expired = { tenantId, clientId: "expired-app", clientSecret: "not-a-real-secret-3" };
    directory.addServicePrincipal({ ...expired, rights: {}, secretExpiresAt: new Date(0) });
    const secret = JSON.stringify({ clientId: "expired-app", clientSecret: "not-a-real-secret-3", tenantId });
    await expect(mint(secret)).rejects.toMatchObject({ detail: expect.stringContaining("AADSTS7000222") });
  });

  it("sends a tenant that is no tenant nowhere", async () => {
    await expect(mint(pair, {}, { tenantId: "../evil" })).rejects.toMatchObject({ code: "invalid-config" });
    expect(clouds.azure.entra.requests).toEqual([]);
  });
});

describe("trouble with Azure", () => {
  it.each([
    ["throttle", "upstream-throttled"],
    ["server-error", "upstream-unreachable"],
    ["garbage", "upstream-invalid"],
    ["empty-object", "upstream-invalid"],
    ["huge", "upstream-invalid"],
    ["drop", "upstream-unreachable"],
  ] as const)("turns %s into %s", async (fault, code) => {
    clouds.azure.entra.fail(fault);
    await expect(mint(json)).rejects.toMatchObject({ name: "Problem", code });
    registry.endpoint.fail(fault);
    await expect(mint(pair, { repositories: ["team/app"] })).rejects.toMatchObject({ name: "Problem", code });
  });

  it("passes on how long Entra wants to be left alone", async () => {
    clouds.azure.entra.fail("throttle");
    await expect(mint(json)).rejects.toMatchObject({ retryAfterSeconds: 7 });
  });

  it("sends nothing to a host that is not a registry of Azure", async () => {
    for (const host of ["example.azurecr.io.evil.example", "azurecr.io", "ghcr.io", "a.b.azurecr.io"]) {
      await expect(mint(json, { host })).rejects.toMatchObject({ code: "destination-refused" });
    }
  });
});
