import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sent, StallWatch } from "../../support/stall-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

const count = 2_000;
const each = <T>(many: number, make: (at: number) => T): T[] => Array.from({ length: many }, (_, at) => make(at));
const host = (at: number) => `h${at}.stall.example.com`;
const asBase64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

let service: TestService;
let watch: StallWatch;
beforeAll(async () => {
  // Their stored credentials are handed out as they are: two thousand tokens without a cloud.
  service = await startTestService({ FACTORY_SECRETS_PASS_THROUGH_HOSTS: each(count, host).join(",") });
  watch = new StallWatch(service);
});
afterAll(async () => {
  await watch.close();
  await service.close();
});

async function ok(sent: Sent): Promise<string> {
  const { status, text } = await watch.send(sent);
  expect(status, text).toBeLessThan(300);
  return text;
}

/** Expects that the worst turn of each of these is below the limit, and names all that are not. */
async function expectNoStalls(walk: readonly (readonly [string, Sent, readonly number[]])[], limitMs?: number) {
  const failures: string[] = [];
  for (const [what, sent, statuses] of walk)
    await watch.expectNoStall(what, sent, statuses, limitMs).catch((error: Error) => failures.push(error.message));
  expect(failures).toEqual([]);
}

/** A factory whose entries name one secret, made once for each `line`. @returns its path */
function factoryOfEntries(line: string): Promise<string> {
  const made = factoriesOfEntries.get(line) ?? makeFactoryOfEntries(line);
  factoriesOfEntries.set(line, made);
  return made;
}

const factoriesOfEntries = new Map<string, Promise<string>>();

async function makeFactoryOfEntries(line: string): Promise<string> {
  const path = `/v1/factories/${(await service.createFactory()).name}`;
  await ok({ method: "PUT", path: `${path}/secrets/one`, body: JSON.stringify({ value: "user:not-a-real-secret" }) });
  const body = `container_registries:\n${each(count, (at) => `- type: generic\n  url: ${host(at)}\n  generic_secret_name: one${line}\n`).join("")}`;
  await ok({ method: "PUT", path: `${path}/config`, type: "application/yaml", body });
  return path;
}

describe("registry tokens of two thousand entries", () => {
  // Well below what any request may hold: this one is asked for most.
  const limitMs = 20;
  const ask = (path: string, body: unknown): Sent => ({
    method: "POST",
    path: `${path}/registry-tokens`,
    body: JSON.stringify(body),
  });

  it("all of them, fresh and in every format", async () => {
    const path = await factoryOfEntries("\n  passThrough: true");
    await expectNoStalls(
      [
        ["tokens", ask(path, {}), [200]],
        ["docker-config", ask(path, { format: "docker-config" }), [200]],
        ["kubernetes-secret", ask(path, { format: "kubernetes-secret" }), [200]],
        ["ci-scripts", ask(path, { format: "ci-scripts" }), [200]],
        ["login", ask(path, { format: "login" }), [422]],
        ["aws-config", ask(path, { format: "aws-config" }), [422]],
        ["fifty known", ask(path, { requests: each(50, (at) => ({ registry: host(1_999 - at) })) }), [200]],
        ["fifty unknown", ask(path, { requests: each(50, (at) => ({ registry: `u${at}.example.com` })) }), [422]],
      ],
      limitMs,
    );
  });

  it("all of them, where each opens its secret and gives no token", async () => {
    const path = await factoryOfEntries("");
    await expectNoStalls(
      [
        ["in part", ask(path, { allowPartial: true }), [200]],
        ["all or none", ask(path, {}), [422]],
      ],
      limitMs,
    );
  });

  it("of a job with a hundred grants", async () => {
    const path = await factoryOfEntries("\n  passThrough: true");
    const names = each(20, (at) => `${"team/".repeat(20)}app${at}`);
    const jobOf = async (registry: (at: number) => string) => {
      const grants = each(100, (at) => ({ registry: registry(at), ...(at % 2 && { repositories: names }) }));
      const body = JSON.stringify({ name: "job", ttlSeconds: 600, grants });
      return JSON.parse(await ok({ method: "POST", path: `${path}/jobs`, body })).token;
    };
    const known = await jobOf((at) => host(1_999 - at));
    const unknown = await jobOf((at) => `u${at}.example.com`);
    const requests = each(50, (at) => ({ registry: host(at), repositories: names.slice(0, 2) }));
    await expectNoStalls(
      [
        ["all", { ...ask(path, { allowPartial: true }), token: known }, [200]],
        ["all of unknown", { ...ask(path, { allowPartial: true }), token: unknown }, [200]],
        ["outside", { ...ask(path, { requests }), token: known }, [403]],
        ["outside of unknown", { ...ask(path, { requests }), token: unknown }, [403]],
      ],
      limitMs,
    );
  });
});

describe("references", () => {
  it.each([
    ["hosts without an entry", (at: number) => `u${at}.example.com/a/b:1`],
    ["long ones", (at: number) => `u${at}.example.com/${"a/".repeat(280)}b`],
    ["ones that are none", (at: number) => `${at}${"-_.".repeat(195)}`],
    ["slashes", (at: number) => `${at}${"/".repeat(590)}`],
  ])("a hundred %s", async (what, reference) => {
    const path = await factoryOfEntries("");
    const body = JSON.stringify({ references: each(100, reference), platforms: ["linux/amd64"] });
    await expectNoStalls([[what, { method: "POST", path: `${path}/references:check`, body }, [200, 422]]]);
  });
});

describe("a key set of an issuer", () => {
  const { n, e } = generateKeyPairSync("rsa", { modulusLength: 2_048 }).publicKey.export({ format: "jwk" });
  const key = (at: number) => ({ kty: "RSA", kid: `k${at}`, e, n });
  const sets: [string, string][] = [
    ["as many keys as fit in", JSON.stringify({ keys: each(75, key) })],
    [
      "a hundred keys that are none",
      JSON.stringify({ keys: each(100, (at) => ({ kty: `${at}`, n: "x".repeat(280) })) }),
    ],
    ["keys of many members", JSON.stringify({ keys: [Object.fromEntries(each(3_000, (at) => [`m${at}`, 1]))] })],
    ["too many keys", `{"keys":[${each(10_000, () => "{}").join(",")}]}`],
    ["brackets", "[".repeat(32_000)],
    ["nests", `{"keys":[${"[".repeat(16_000)}${"]".repeat(16_000)}]}`],
    ["escapes", `{"keys":"${"\\u0041".repeat(5_300)}"}`],
  ];
  const rule = {
    name: "stall",
    issuer: "https://issuer.example.com",
    audience: "https://secrets.example.com",
    algorithms: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
    conditions: each(50, (at) => ({ claim: `c${at}`, equalsAny: each(20, (of) => `value ${at} ${of}`) })),
    grants: each(20, (at) => ({ registry: host(at) })),
  };

  it.each(sets)("pasted: %s", async (what, jwks) => {
    const path = `/v1/factories/${(await service.createFactory()).name}/trust-rules`;
    const body = JSON.stringify({ ...rule, jwks });
    await expectNoStalls([
      [what, { method: "POST", path, body }, [201, 400, 409]],
      [`list: ${what}`, { method: "GET", path }, [200]],
    ]);
  });

  describe("ID tokens as long as they can be", () => {
    const now = Math.floor(Date.now() / 1_000);
    const claims = { iss: rule.issuer, aud: rule.audience, sub: "s", iat: now, nbf: now, exp: now + 600 };
    const token = (more: object, header: object = {}) =>
      `${asBase64({ alg: "RS256", kid: "k1", ...header })}.${asBase64({ ...claims, ...more })}.${"A".repeat(342)}`;
    const ofPayload = (json: string) =>
      `${asBase64({ alg: "RS256", kid: "k1" })}.${Buffer.from(json).toString("base64url")}.${"A".repeat(342)}`;
    const deep = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);
    const tokens: [string, string][] = [
      ["many claims", token(Object.fromEntries(each(900, (at) => [`c${at}`, "x"])))],
      ["one long claim", token({ c0: "x".repeat(11_000) })],
      ["a long list", token({ c0: each(5_000, () => 1) })],
      ["objects", token({ c0: each(3_500, () => ({})) })],
      ["texts", token({ c0: each(3_500, () => "") })],
      ["nests", ofPayload(`{"c0":${"[".repeat(5_500)}${"]".repeat(5_500)}}`)],
      ["nests that are allowed", token({ c0: each(180, () => deep(29)) })],
      ["escapes", ofPayload(`{"a":"${"\\u0000".repeat(1_900)}"}`)],
      ["many audiences", token({ aud: each(1_700, (at) => `${at}`) })],
      ["a long header", token({}, { x: "x".repeat(11_000) })],
      ["a key of each name", token({}, { kid: undefined })],
      ["dots", ".".repeat(16_384)],
      ["nothing but letters", `${"A".repeat(5_400)}.${"A".repeat(5_400)}.${"A".repeat(5_400)}`],
    ];

    let name: string;
    let path: string;
    beforeAll(async () => {
      ({ name } = await service.createFactory());
      path = `/v1/factories/${name}/trust-rules`;
      const jwks = JSON.stringify({ keys: each(75, key) });
      for (let at = 0; at < 20; at += 1) {
        const one = { ...rule, name: `rule ${at}`, jwks, conditions: rule.conditions.slice(0, 10) };
        await ok({ method: "POST", path, body: JSON.stringify(one) });
      }
    });

    it.each(tokens)("%s", async (what, idToken) => {
      expect(idToken.length).toBeLessThanOrEqual(16_384);
      const form = new URLSearchParams({
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
        subject_token: idToken,
        factory: name,
      });
      const exchange = {
        method: "POST",
        path: "/oauth/token",
        type: "application/x-www-form-urlencoded",
        token: "",
        body: `${form}`,
      };
      await expectNoStalls([
        [`exchange: ${what}`, exchange, [400, 401, 413]],
        [
          `explain: ${what}`,
          { method: "POST", path: `${path}:explain`, body: JSON.stringify({ idToken }) },
          [200, 400],
        ],
      ]);
    });
  });
});

describe("fioctl's batches", () => {
  it.each([
    [
      "values of",
      (at: number, value: string) => [{ name: `n${at}`, value }],
      (all: unknown[]) => ({ type: "simple", secrets: all.flat() }),
    ],
    [
      "plain members of",
      (at: number, value: string) => [`n${at}`, value],
      (all: unknown[]) => Object.fromEntries(all.filter(Array.isArray)),
    ],
  ])("%s the largest size", async (what, member, bodyOf) => {
    const path = `/projects/${(await service.createFactory()).name}/lmp/triggers`;
    for (const value of [
      "x".repeat(10_000),
      `[default]\naws_access_key_id=a\n${"x=1\n".repeat(2_500)}`.slice(0, 8_000),
    ]) {
      const body = JSON.stringify(bodyOf(each(95, (at) => member(at, value))));
      await expectNoStalls([
        [`create: ${what}`, { method: "POST", path, body }, [201]],
        [`change: ${what}`, { method: "PATCH", path: `${path}/1`, body }, [200]],
        [`list: ${what}`, { method: "GET", path }, [200]],
      ]);
    }
    const tiny = each(20_000, (at) => member(at, "x"));
    await expectNoStalls([["too many", { method: "POST", path, body: JSON.stringify(bodyOf(tiny)) }, [413, 422, 400]]]);
  });
});

describe("page tokens and filters", () => {
  it.each([
    ["letters", "A".repeat(12_000)],
    ["other characters", "%2F%2B".repeat(2_000)],
    ["line ends", "%0A".repeat(4_000)],
  ])("of %s", async (what, text) => {
    const path = `/v1/factories/${(await service.createFactory()).name}`;
    for (const list of ["audit", "secrets", "jobs", "api-tokens", "config/versions", "registries"]) {
      const get = (query: string): Sent => ({ method: "GET", path: `${path}/${list}?${query}` });
      await expectNoStalls([
        [`${list}: ${what}`, get(`pageToken=${text}`), [400, 404, 414, 422, 431]],
        [`${list}: unknown ${what}`, get(`x=${text}`), [200, 400, 404, 414, 422, 431]],
        [`${list}: many`, get(each(1_500, (at) => `x${at}=1`).join("&")), [200, 400, 404, 414, 422, 431]],
      ]);
    }
  });
});
