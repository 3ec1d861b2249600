import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { GarEntry } from "../../../../src/factory-config/entry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { authorizationOf, type MintOptions, mintAgainst } from "./mint-against.js";

const host = "us-docker.pkg.dev";
const entry: GarEntry = { id: "gar", type: "gar", hosts: [], secretName: "gcp_creds" };

let clouds: StandInClouds;
let account: { email: string; credentialsJson: string };
beforeAll(async () => {
  clouds = await startStandInClouds();
  account = clouds.google.addServiceAccount({ name: "puller", readable: [`${host}/project/repo/`] });
  clouds.google.addRegistry(host);
});
afterAll(() => clouds.close());
beforeEach(() => {
  clouds.google.token.heal();
  clouds.google.token.forget();
});

const mint = (secret: string, options: MintOptions = {}) => mintAgainst(clouds, entry, secret, { host, ...options });

describe("an Artifact Registry token", () => {
  it("is an access token that may only read", async () => {
    const token = await mint(account.credentialsJson);
    expect(token).toMatchObject({
      registry: host,
      type: "gar",
      kind: "password",
      username: "oauth2accesstoken",
      scopeEnforcedBy: "none",
    });
    expect((token.expiresAt.getTime() - Date.now()) / 1_000).toBeGreaterThan(3_500);
    const headers = { authorization: authorizationOf(token) };
    const reply = await clouds.request({ host, path: "/v2/project/repo/app/manifests/latest", headers });
    expect(reply.status).toBe(200);
    expect(token.kind === "password" && clouds.google.issuedToken(token.password)?.scope).toBe(
      "https://www.googleapis.com/auth/devstorage.read_only",
    );
  });

  it("cannot be limited to repositories, unless the caller takes a broader one", async () => {
    const repositories = ["project/repo/app"];
    await expect(mint(account.credentialsJson, { repositories })).rejects.toMatchObject({
      code: "scope-not-enforceable",
    });
    expect(clouds.google.token.requests).toEqual([]);
    const token = await mint(account.credentialsJson, { repositories, allowBroader: true });
    expect(token).toMatchObject({ scopeEnforcedBy: "none" });
    expect(token).not.toHaveProperty("repositories");
  });

  it.each(["us-docker.pkg.dev.evil.example", "evil.example", "x.gcr.io", "docker.pkg.dev"])(
    "is not made for the host %s",
    async (wrong) => {
      await expect(mint(account.credentialsJson, { host: wrong })).rejects.toMatchObject({
        code: "destination-refused",
      });
    },
  );
});

describe("a key file that is not a service account's", () => {
  it.each([
    [{ type: "external_account" }, "make a key: gcloud iam service-accounts keys create"],
    [{ type: "authorized_user" }, "Make a key of a service account: gcloud iam service-accounts keys create"],
    [{ type: "of-another-time" }, "service_account"],
    [{ token_uri: "https://evil.example/token" }, "token_uri"],
    [{ universe_domain: "evil.example" }, "universe_domain"],
    [{ private_key: "not-a-real-secret-1" }, "private_key"],
  ])("is refused: %j", async (change, word) => {
    const secret = JSON.stringify({ ...JSON.parse(account.credentialsJson), ...change });
    const call = mint(secret);
    await expect(call).rejects.toMatchObject({ code: "secret-malformed", detail: expect.stringContaining(word) });
    await expect(call).rejects.not.toMatchObject({ detail: expect.stringContaining("evil.example") });
    expect(clouds.google.token.requests).toEqual([]);
  });
});

describe("trouble with Google", () => {
  it("explains a disabled account", async () => {
    const other = clouds.google.addServiceAccount({ name: "gone", readable: [] });
    clouds.google.disable(other.email);
    await expect(mint(other.credentialsJson)).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringContaining("invalid_grant, the key was deleted"),
    });
  });

  it("passes throttling on after the library's retries", async () => {
    clouds.google.token.fail("throttle", 1);
    await expect(mint(account.credentialsJson)).resolves.toMatchObject({ type: "gar" });
    clouds.google.token.fail("throttle");
    await expect(mint(account.credentialsJson)).rejects.toMatchObject({
      code: "upstream-throttled",
      retryAfterSeconds: 7,
    });
  });

  it.each([
    ["server-error", "upstream-unreachable"],
    ["garbage", "upstream-invalid"],
    ["empty-object", "upstream-invalid"],
    ["huge", "upstream-invalid"],
    ["drop", "upstream-unreachable"],
  ] as const)("turns %s into %s", async (fault, code) => {
    clouds.google.token.fail(fault);
    await expect(mint(account.credentialsJson)).rejects.toMatchObject({ name: "Problem", code });
  });

  it("gives up on a stalled call once", async () => {
    clouds.google.token.fail("stall");
    await expect(mint(account.credentialsJson, { totalTimeoutMs: 1_500 })).rejects.toMatchObject({
      code: "upstream-timeout",
    });
    expect(clouds.google.token.requests).toHaveLength(1);
  });
});
