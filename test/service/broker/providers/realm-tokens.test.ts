import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MintedToken } from "../../../../src/broker/providers/provider.js";
import type { DockerRegistryOptions } from "../../../support/clouds/docker/answer-docker-registry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { type MintOptions, mintAgainst } from "./mint-against.js";

const password = "not-a-real-secret-1";
const users = { ci: { password, rights: { "acme/app": ["pull", "push"] } } } as const;

let clouds: StandInClouds;
let count = 0;
beforeAll(async () => {
  clouds = await startStandInClouds();
});
afterAll(() => clouds.close());

async function mint(options: Partial<DockerRegistryOptions>, more: MintOptions = {}): Promise<MintedToken> {
  count += 1;
  const { host } = clouds.docker.addRegistry({ host: `realm-${count}.example.test`, users, ...options });
  const entry = { id: host, type: "generic", host, secretName: "creds", passThrough: false } as const;
  return mintAgainst(clouds, entry, `ci:${password}`, { repositories: ["acme/app"], ...more });
}

const pull = { type: "repository", name: "acme/app", actions: ["pull"] };
const withAccess = (access: unknown) => mint({ claims: (claims) => ({ ...claims, access }) });

describe("a token's access claim", () => {
  it.each([
    ["pull", [pull]],
    ["pull, and entries that allow nothing", [pull, { type: "registry", name: "catalog", actions: null }]],
    ["pull, and another repository with an empty list", [pull, { type: "repository", name: "acme/x", actions: [] }]],
  ])("with %s is what was asked for", async (_, access) => {
    await expect(withAccess(access)).resolves.toMatchObject({
      scopeEnforcedBy: "registry",
      scopeVerified: true,
      repositories: ["acme/app"],
    });
  });

  it.each([
    [
      "push too, beside an entry without actions",
      [
        { ...pull, actions: ["pull", "push", "delete"] },
        { type: "registry", name: "catalog", actions: null },
      ],
    ],
    ["everything", [{ ...pull, actions: ["*"] }]],
    ["another repository too", [pull, { ...pull, name: "acme/other" }]],
    ["a wildcard too", [pull, { ...pull, name: "*" }]],
    ["the catalogue too", [pull, { type: "registry", name: "catalog", actions: ["*"] }]],
    ["an entry that is no object", [pull, "repository:acme/app:push"]],
    ["an entry with null", [pull, null]],
    ["actions as text", [pull, { ...pull, actions: "push" }]],
    ["an action that is no text", [pull, { ...pull, actions: ["pull", 1] }]],
    ["an entry without actions", [pull, { type: "repository", name: "acme/app" }]],
    ["a name that is no text", [pull, { ...pull, name: ["acme/app"] }]],
  ])("with %s is refused, and is no limit when the caller allows that", async (_, access) => {
    await expect(withAccess(access)).rejects.toMatchObject({ code: "scope-not-enforceable", status: 422 });
    const token = await mint({ claims: (claims) => ({ ...claims, access }) }, { allowBroader: true });
    expect(token).toMatchObject({ scopeEnforcedBy: "none" });
    expect(token).not.toHaveProperty("scopeVerified");
    expect(token).not.toHaveProperty("repositories");
  });

  it.each([
    ["null", null],
    ["an empty list", []],
    ["actions that are null", [{ ...pull, actions: null }]],
    ["push alone", [{ ...pull, actions: ["push"] }]],
    ["text", "repository:acme/app:pull"],
    ["an object", { "acme/app": ["pull"] }],
    ["another type", [{ ...pull, type: "repository(plugin)" }]],
  ])("that is %s does not grant what was asked for", async (_, access) => {
    await expect(withAccess(access)).rejects.toMatchObject({ code: "scope-not-enforceable", status: 422 });
  });

  it("counts in any case of its name, and twice is not readable", async () => {
    const all = [{ ...pull, actions: ["pull", "push"] }];
    const renamed = mint({ claims: ({ access: _, ...claims }) => ({ ...claims, Access: all }) });
    await expect(renamed).rejects.toMatchObject({ code: "scope-not-enforceable" });
    const twice = mint({ claims: (claims) => ({ ...claims, access: [pull], ACCESS: all }) });
    await expect(twice).rejects.toMatchObject({ code: "scope-not-enforceable" });
  });

  it.each([
    ["a second spelling of its actions", [{ ...pull, Actions: ["pull", "push"] }]],
    ["a second spelling of its name", [{ ...pull, NAME: "acme/other" }]],
    ["members in capitals that grant push", [{ Type: "repository", Name: "acme/app", Actions: ["pull", "push"] }]],
  ])("counts every spelling of an entry's members: with %s it is refused", async (_, access) => {
    await expect(withAccess(access)).rejects.toMatchObject({ code: "scope-not-enforceable" });
  });

  it("may be in letters that registries in Go take for others", async () => {
    const all = [{ ...pull, actions: ["pull", "push"] }];
    const renamed = mint({ claims: ({ access: _, ...claims }) => ({ ...claims, acce\u017f\u017f: all }) });
    await expect(renamed).rejects.toMatchObject({ code: "scope-not-enforceable" });
  });

  it.each([
    ["the claim", `"access":[${JSON.stringify(pull)}],"access":[${JSON.stringify(pull)}]`],
    ["a member of an entry", `"access":[{"actions":["push"],${JSON.stringify(pull).slice(1)}]`],
  ])("is not readable when %s stands twice in the token's text", async (_, members) => {
    const token = `${part("{}")}.${part(`{${members}}`)}.AA`;
    const twice = mint({ tokenShape: "jwt", reply: (all) => ({ ...all, token }) });
    await expect(twice).rejects.toMatchObject({ code: "scope-not-enforceable" });
  });

  it.each([
    ["exp is text", { exp: "soon" }],
    ["exp is null", { exp: null }],
    ["exp is negative", { exp: -1 }],
  ])("is read although %s", async (_, broken) => {
    const access = [{ ...pull, actions: ["pull", "push"] }];
    const sign = mint({
      tokenShape: "jwt",
      reply: (members) => ({ ...members, token: unsigned({ access, ...broken }) }),
    });
    await expect(sign).rejects.toMatchObject({ code: "scope-not-enforceable" });
  });

  it.each(["opaque", "jwt"] as const)("that is absent leaves the scope of an %s token unverified", async (shape) => {
    const token = await mint({ tokenShape: shape, claims: ({ access: _, ...claims }) => claims });
    expect(token).toMatchObject({ scopeEnforcedBy: "registry", scopeVerified: false, repositories: ["acme/app"] });
  });
});

const secondsLeft = (end: Date | undefined) => Math.round(((end?.getTime() ?? 0) - Date.now()) / 1_000);
const nowSeconds = () => Math.floor(Date.now() / 1_000);
const expIn = (seconds: number) => (claims: object) => ({ ...claims, exp: nowSeconds() + seconds });

/** A JWT that nobody signed, for claims that a signer does not take. */
function unsigned(claims: object): string {
  return `${part(JSON.stringify({ alg: "none" }))}.${part(JSON.stringify(claims))}.AA`;
}

function part(json: string): string {
  return Buffer.from(json).toString("base64url");
}

describe("how long a token lives", () => {
  const days40 = 40 * 86_400;
  it.each([
    ["its exp alone", { expiresInSeconds: "unsaid", claims: expIn(300) }, 300, 300],
    ["expires_in, and an exp that is later", { expiresInSeconds: 60, claims: expIn(300) }, 300, 60],
    ["expires_in, and an exp that is earlier", { expiresInSeconds: 600, claims: expIn(300) }, 600, 300],
    ["40 days", { expiresInSeconds: days40, tokenShape: "opaque" }, days40, days40],
    ["seconds as text", { tokenShape: "opaque", reply: (all) => ({ ...all, expires_in: "900" }) }, 900, 900],
    [
      "an issue in the future",
      { tokenShape: "opaque", reply: (all) => ({ ...all, issued_at: new Date(Date.now() + 600_000).toISOString() }) },
      900,
      300,
    ],
  ] satisfies [string, Partial<DockerRegistryOptions>, number, number][])(
    "is what it states: %s",
    async (_, options, latest, earliest) => {
      const token = await mint(options);
      expect(token.lifeUnstated).toBeUndefined();
      expect(Math.abs(secondsLeft(token.expiresAt) - latest)).toBeLessThan(5);
      expect(Math.abs(secondsLeft(token.usableUntil ?? token.expiresAt) - earliest)).toBeLessThan(5);
    },
  );

  it.each([
    ["exp in another case", (end: number) => ({ EXP: end })],
    ["exp as text", (end: number) => ({ exp: String(end) })],
    ["exp in two spellings", (end: number) => ({ exp: end, Exp: 1 })],
  ])("is never taken for what expires_in says beside %s", async (_, claims) => {
    const sign = () => unsigned({ access: [pull], ...claims(nowSeconds() + 900) });
    const token = await mint({ tokenShape: "jwt", reply: (all) => ({ ...all, token: sign(), expires_in: 60 }) });
    const isLong = Math.abs(secondsLeft(token.expiresAt) - 900) < 5;
    expect(isLong || token.lifeUnstated).toBe(true);
    expect(Math.abs(secondsLeft(token.usableUntil ?? token.expiresAt) - 60)).toBeLessThan(5);
  });

  it.each(["1e9", "soon", {}, -5, true])(
    "is not stated by an exp beside an expires_in of %j, which may say more",
    async (expires_in) => {
      const token = await mint({ claims: expIn(300), reply: (all) => ({ ...all, expires_in }) });
      expect(token).toMatchObject({ lifeUnstated: true });
      expect(Math.abs(secondsLeft(token.usableUntil ?? token.expiresAt) - 300)).toBeLessThan(5);
    },
  );

  it.each([undefined, null, "", 0])("is stated by an exp beside an expires_in of %j", async (expires_in) => {
    const token = await mint({ claims: expIn(300), reply: (all) => ({ ...all, expires_in }) });
    expect(token.lifeUnstated).toBeUndefined();
    expect(Math.abs(secondsLeft(token.expiresAt) - 300)).toBeLessThan(5);
  });

  it("begins when it comes, where issued_at is the zero time of Go", async () => {
    const token = await mint({ tokenShape: "opaque", reply: (all) => ({ ...all, issued_at: "0001-01-01T00:00:00Z" }) });
    expect(Math.abs(secondsLeft(token.expiresAt) - 300)).toBeLessThan(5);
  });

  it("may be longer than a date can say", async () => {
    const token = await mint({ tokenShape: "opaque", reply: (all) => ({ ...all, expires_in: 1e300 }) });
    expect(token.expiresAt.toISOString()).toMatch(/^9999-/);
  });

  it.each([undefined, null, "", 0, -5, "soon", {}, "1e9"])(
    "is not stated by an expires_in of %j",
    async (expires_in) => {
      const token = await mint({ tokenShape: "opaque", reply: (all) => ({ ...all, expires_in }) });
      expect(token).toMatchObject({ lifeUnstated: true });
      expect(Math.abs(secondsLeft(token.expiresAt) - 60)).toBeLessThan(5);
    },
  );

  it.each([
    [
      "expires_in",
      { tokenShape: "opaque", reply: (all) => ({ ...all, issued_at: "2015-01-01T00:00:00Z" }) },
      "2015-01-01T00:05:00",
    ],
    ["exp", { claims: (claims) => ({ ...claims, exp: 1_420_070_700 }) }, "2015-01-01T00:05:00"],
  ] satisfies [string, Partial<DockerRegistryOptions>, string][])(
    "may be over by its %s when it comes: the refusal says when, and what time it is here",
    async (_, options, when) => {
      await expect(mint(options)).rejects.toMatchObject({
        code: "upstream-invalid",
        detail: expect.stringMatching(
          new RegExp(`already expired at ${when}.*the time here is ${new Date().getUTCFullYear()}-`),
        ),
      });
    },
  );
});

describe("a realm's reply", () => {
  it.each([
    ["an empty access_token, as Harbor sends it", { access_token: "" }],
    ["an access_token of null", { access_token: null }],
    ["members of other forms", { issued_at: 5, expires_in: [], refresh_token: {}, unknown: null }],
  ])("may have %s", async (_, members) => {
    await expect(mint({ reply: (all) => ({ ...all, ...members }) })).resolves.toMatchObject({ kind: "bearer" });
  });

  it("may have its token in access_token and an empty token", async () => {
    const reply = (all: Readonly<Record<string, unknown>>) => ({ ...all, access_token: all.token, token: "" });
    await expect(mint({ reply })).resolves.toMatchObject({ scopeVerified: true });
  });

  it("without any token is refused", async () => {
    const reply = () => ({ token: "", access_token: null });
    await expect(mint({ reply })).rejects.toMatchObject({ code: "upstream-invalid" });
  });
});

describe("a registry whose /v2/ lets everybody in", () => {
  it("is asked at the repository for its realm", async () => {
    const token = await mint({ isRootOpen: true });
    expect(token).toMatchObject({ kind: "bearer", repositories: ["acme/app"] });
  });

  it("has nothing to mint when its repositories let everybody in too, or take the password itself", async () => {
    const open = mint({ isRootOpen: true, challenges: [] });
    await expect(open).rejects.toMatchObject({ code: "upstream-invalid" });
    const basic = mint({ isRootOpen: true, auth: "basic" });
    await expect(basic).rejects.toMatchObject({
      code: "nothing-to-mint",
      detail: expect.stringContaining("takes the user and password themselves"),
    });
  });

  it("gets no credential for a realm elsewhere", async () => {
    const foreign = mint({ isRootOpen: true, realmHost: `elsewhere-${count}.example.test` });
    await expect(foreign).rejects.toMatchObject({ code: "destination-refused" });
  });
});
