import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenericEntry } from "../../../../src/factory-config/entry.js";
import type { DockerRegistryOptions } from "../../../support/clouds/docker/answer-docker-registry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { authorizationOf, type MintOptions, mintAgainst } from "./mint-against.js";

const secret = "ci:not-a-real-secret-1";
const users = {
  ci: { password: "not-a-real-secret-1", rights: { "acme/base": ["pull"], "acme/app": ["pull", "push"] } },
} as const;

let clouds: StandInClouds;
let count = 0;
beforeAll(async () => {
  clouds = await startStandInClouds();
});
afterAll(() => clouds.close());

function addRegistry(options: Partial<DockerRegistryOptions> = {}) {
  count += 1;
  return clouds.docker.addRegistry({ host: `registry-${count}.example.test`, users, ...options });
}

const entryOf = (host: string, passThrough = false): GenericEntry => ({
  id: host,
  type: "generic",
  host,
  secretName: "ghcr_creds",
  passThrough,
});
const mint = (host: string, options: MintOptions = {}, text = secret) =>
  mintAgainst(clouds, entryOf(host), text, { repositories: ["acme/base"], ...options });

describe("a Docker-registry token", () => {
  it("is a bearer for the repositories, for as long as the realm says", async () => {
    const { host } = addRegistry();
    const token = await mint(host, { repositories: ["acme/app", "acme/base"] });
    expect(token).toMatchObject({
      registry: host,
      type: "generic",
      kind: "bearer",
      repositories: ["acme/app", "acme/base"],
      scopeEnforcedBy: "registry",
      scopeVerified: true,
    });
    const lifeSeconds = (token.expiresAt.getTime() - Date.now()) / 1_000;
    expect(lifeSeconds).toBeGreaterThan(290);
    expect(lifeSeconds).toBeLessThan(301);
    const headers = { authorization: authorizationOf(token) };
    const pulled = await clouds.request({ host, path: "/v2/acme/base/manifests/latest", headers });
    const other = await clouds.request({ host, path: "/v2/acme/other/manifests/latest", headers });
    expect([pulled.status, other.status]).toEqual([200, 401]);
  });

  it("sends the password to the realm only, and each scope by itself", async () => {
    const { host, registry } = addRegistry();
    await mint(host, { repositories: ["acme/app", "acme/base"] });
    expect(registry.requests.map(({ path, authorization }) => `${path} ${authorization}`)).toEqual([
      "/v2/ none",
      "/token basic",
    ]);
    expect(registry.requests[1]?.query).toEqual({
      service: [host],
      scope: ["repository:acme/app:pull", "repository:acme/base:pull"],
    });
  });

  it.each(["token", "access_token"] as const)(
    "is read from %s, and lives 60 s when nothing is said",
    async (tokenField) => {
      const { host } = addRegistry({ tokenField, expiresInSeconds: "unsaid", tokenShape: "opaque" });
      const token = await mint(host);
      expect((token.expiresAt.getTime() - Date.now()) / 1_000).toBeLessThan(61);
      expect(token).toMatchObject({ repositories: ["acme/base"], scopeVerified: false, lifeUnstated: true });
    },
  );

  it("is refused when the registry grants less than asked, whatever the caller allows", async () => {
    const { host } = addRegistry();
    for (const repositories of [["acme/base", "acme/other"], ["acme/other"]]) {
      for (const allowBroader of [false, true]) {
        await expect(mint(host, { repositories, allowBroader })).rejects.toMatchObject({
          code: "scope-not-enforceable",
          status: 422,
          detail: expect.stringMatching(/did not grant the pull of acme\/other\./),
        });
      }
    }
  });

  it("finds the Bearer challenge among others", async () => {
    const host = "mixed.example.test";
    const challenges = ['Basic realm="a, b", Negotiate', `Bearer service="${host}",realm="https://${host}/token"`];
    addRegistry({ host, challenges });
    await expect(mint(host)).resolves.toMatchObject({ kind: "bearer" });
  });

  it("asks Docker Hub under its own names, official images in library/", async () => {
    const rights = { "library/nginx": ["pull"] } as const;
    const hub = addRegistry({
      host: "registry-1.docker.io",
      realmHost: "auth.docker.io",
      users: { ci: { password: "not-a-real-secret-1", rights } },
    });
    const token = await mint("docker.io", { repositories: ["nginx"] });
    expect(token).toMatchObject({ registry: "docker.io", repositories: ["nginx"] });
    expect(hub.realm.requests[0]?.query.scope).toEqual(["repository:library/nginx:pull"]);
  });
});

describe("a realm on another host", () => {
  it("gets nothing unless the operator allowed the pair", async () => {
    const { host, realm } = addRegistry({ realmHost: "realm.example.test" });
    await expect(mint(host)).rejects.toMatchObject({
      code: "destination-refused",
      detail: expect.stringContaining("realm.example.test"),
    });
    expect(realm.requests).toEqual([]);
    const allowedRealms = [{ registryHost: host, realmHost: "realm.example.test" }];
    await expect(mint(host, { allowedRealms })).resolves.toMatchObject({ kind: "bearer" });
    const otherPair = [{ registryHost: "other.example.test", realmHost: "realm.example.test" }];
    await expect(mint(host, { allowedRealms: otherPair })).rejects.toMatchObject({ code: "destination-refused" });
  });

  it.each([
    ["http://REGISTRY/token", "upstream-invalid"],
    ["https://REGISTRY@attacker.example.test/token", "upstream-invalid"],
    ["https://REGISTRY.attacker.example.test/token", "destination-refused"],
    ["//attacker.example.test/token", "upstream-invalid"],
  ])("cannot be smuggled in as %s", async (realm, code) => {
    count += 1;
    const host = `smuggle-${count}.example.test`;
    addRegistry({ host, challenges: [`Bearer realm="${realm.replace("REGISTRY", host)}",service="${host}"`] });
    await expect(mint(host)).rejects.toMatchObject({ code });
  });

  it("gets nothing by a redirect either", async () => {
    const attacker = clouds.docker.addAttacker("attacker.example.test");
    const moved = addRegistry({ auth: { redirectTo: "https://attacker.example.test/v2/" } });
    const realmMoved = addRegistry({ realmRedirectTo: "https://attacker.example.test/token" });
    await expect(mint(moved.host)).rejects.toMatchObject({ code: "upstream-invalid" });
    await expect(mint(realmMoved.host)).rejects.toMatchObject({ code: "upstream-invalid" });
    expect(attacker.requests).toEqual([]);
  });
});

describe("a registry with nothing to mint", () => {
  it("is refused with both ways out when no repositories are named", async () => {
    const { host } = addRegistry();
    await expect(mintAgainst(clouds, entryOf(host), secret)).rejects.toMatchObject({
      code: "repositories-required",
      detail: expect.stringMatching(/"repositories".*passThrough/),
    });
  });

  it("is named as such when it knows Basic only", async () => {
    const { host, registry } = addRegistry({ auth: "basic" });
    await expect(mint(host)).rejects.toMatchObject({ code: "nothing-to-mint" });
    expect(registry.requests.some((request) => request.carriedCredentials)).toBe(false);
  });

  it("is named as such when it hands the stored password back", async () => {
    const { host } = addRegistry({ challenges: [] });
    const echo = clouds.docker.addAttacker("echo.example.test");
    expect(echo.requests).toEqual([]);
    await expect(mint(host)).rejects.toMatchObject({ code: "upstream-invalid" });
    addRegistry({ host: "echoing.example.test", challenges: ['Bearer realm="https://echo.example.test/token"'] });
    const allowedRealms = [{ registryHost: "echoing.example.test", realmHost: "echo.example.test" }];
    const stored = "ci:token-of-the-attacker";
    await expect(mint("echoing.example.test", { allowedRealms }, stored)).rejects.toMatchObject({
      code: "nothing-to-mint",
    });
  });

  it("passes the stored credential on only where the operator allows the host", async () => {
    const { host, registry } = addRegistry({ auth: "basic" });
    const pass = (options: MintOptions) => mintAgainst(clouds, entryOf(host, true), secret, options);
    await expect(pass({})).rejects.toMatchObject({ code: "nothing-to-mint" });
    await expect(pass({ passThroughHosts: ["other.example.test"] })).rejects.toMatchObject({ code: "nothing-to-mint" });
    await expect(pass({ passThroughHosts: [host] })).resolves.toMatchObject({
      kind: "password",
      username: "ci",
      password: "not-a-real-secret-1",
      raw: true,
      scopeEnforcedBy: "none",
    });
    await expect(pass({ passThroughHosts: [host], repositories: ["acme/base"] })).rejects.toMatchObject({
      code: "scope-not-enforceable",
    });
    expect(registry.requests).toEqual([]);
  });
});

describe("trouble with a registry", () => {
  it("names secret and entry when user or token are wrong", async () => {
    const { host } = addRegistry();
    await expect(mint(host, {}, "ci:not-a-real-secret-2")).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringContaining('secret "ghcr_creds" (version 3)'),
    });
    await expect(mint(host, {}, "no colon here")).rejects.toMatchObject({ code: "secret-malformed" });
  });

  it.each([
    ["throttle", "upstream-throttled"],
    ["server-error", "upstream-unreachable"],
    ["garbage", "nothing-to-mint"],
    ["huge", "upstream-invalid"],
    ["drop", "upstream-unreachable"],
    ["half", "upstream-unreachable"],
  ] as const)("turns %s of the registry into %s", async (fault, code) => {
    const { host, registry } = addRegistry();
    registry.fail(fault);
    await expect(mint(host)).rejects.toMatchObject({ name: "Problem", code });
  });

  it.each([
    ["garbage", "upstream-invalid", {}],
    ["empty-object", "upstream-invalid", {}],
    ["stall", "upstream-timeout", { totalTimeoutMs: 300 }],
  ] as const)("turns %s of the realm into %s", async (fault, code, options) => {
    const realmHost = `realm-${fault}.example.test`;
    const { host, realm } = addRegistry({ realmHost });
    realm.fail(fault);
    const allowedRealms = [{ registryHost: host, realmHost }];
    await expect(mint(host, { allowedRealms, ...options })).rejects.toMatchObject({ name: "Problem", code });
  });
});
