import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { maxJsonBytes } from "../../../src/http/read-body.js";
import { fieldsAt } from "../../../src/http/validate.js";
import { routes } from "../../../src/service/routes.js";
import { makeRevocationList, makeRoot } from "../../support/devices/device-certificates.js";
import { isLong } from "../../support/rounds.js";
import { mostMs, type Sent, StallWatch } from "../../support/stall-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { pathOfRoute, titleOfRoute } from "./route-path.js";

const factory = "stalls";
const ofFactory = `/v1/factories/${factory}`;
const yaml = "application/yaml";

/** Well below the limit, since the next machine may be slower. */
const whatAnyMayHoldMs = 15;

let service: TestService;
let watch: StallWatch;
const expectNoStall: StallWatch["expectNoStall"] = (...input) => watch.expectNoStall(...input);
beforeAll(async () => {
  service = await startTestService();
  watch = new StallWatch(service);
  await service.createFactory(factory);
});
afterAll(async () => {
  await watch.close();
  await service.close();
});

const lines = (count: number, line: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => line(at)).join("\n");
const entry = (at: number) => `- type: generic\n  url: h${at}.example.com\n  generic_secret_name: s${at}`;

describe("a factory config of", () => {
  it.each([
    ["thousands of keys", lines(13_300, (at) => `k${at}: 1`)],
    ["one key twice, thousands of times", lines(13_300, () => "a: 1")],
    ["commas", `[${",".repeat(200_000)}`],
    ["quotes", '"'.repeat(250_000)],
    ["comments", lines(3_000, () => `# ${"x".repeat(80)}`)],
    ["one long line", `a: ${"x".repeat(250_000)}`],
    ["aliases", `a: &a x\n${lines(9_000, (at) => `k${at}: *a`)}`],
    [
      "aliases of aliases",
      `a0: &a0 [${"x,".repeat(9)}x]\n${lines(7, (at) => `a${at + 1}: &a${at + 1} [${`*a${at},`.repeat(9)}*a${at}]`)}`,
    ],
    ["anchors", "&a ".repeat(80_000)],
    ["nests", `${"[".repeat(39_000)}`],
    ["many deep nests", lines(300, (at) => `k${at}: ${"[".repeat(60)}${"]".repeat(60)}`)],
    ["documents", "---\n".repeat(60_000)],
    ["characters that are not allowed", "\u0007".repeat(250_000)],
    ["two-byte characters", `a: ${"漢".repeat(80_000)}`],
  ])("%s", async (what, body) => {
    await expectNoStall(what, { method: "PUT", path: `${ofFactory}/config?dryRun=true`, type: yaml, body }, [200, 422]);
  });

  it("two thousand entries, with every route that reads or edits it", async () => {
    const put: Sent = { method: "PUT", path: `${ofFactory}/config?allowMissingSecrets=true`, type: yaml };
    let version = 0;
    const next = () => {
      version += 1;
      return version;
    };
    const changed = () => `container_registries:\n${lines(2_000, (at) => `${entry(at)}_${next()}`)}\n`;
    const walk: [string, Sent][] = [
      [
        "publish",
        {
          ...put,
          get body() {
            return changed();
          },
        },
      ],
      [
        "dry run",
        {
          ...put,
          path: `${put.path}&dryRun=true`,
          get body() {
            return changed();
          },
        },
      ],
      ["read", { method: "GET", path: `${ofFactory}/config` }],
      ["list entries", { method: "GET", path: `${ofFactory}/registries?pageSize=200` }],
      ["one entry", { method: "GET", path: `${ofFactory}/registries/h1999.example.com` }],
      ["history", { method: "GET", path: `${ofFactory}/config/versions?pageSize=200` }],
      ["a version", { method: "GET", path: `${ofFactory}/config/versions/1` }],
      ["federation", { method: "GET", path: `${ofFactory}/federation` }],
      ["restore", { method: "POST", path: `${ofFactory}/config/versions/1:restore?allowMissingSecrets=true` }],
      [
        "edit",
        {
          method: "PUT",
          path: `${ofFactory}/registries/h7.example.com?allowMissingSecrets=true`,
          get body() {
            return JSON.stringify({ type: "generic", host: "h7.example.com", secretName: `s${next()}` });
          },
        },
      ],
      [
        "tokens",
        {
          method: "POST",
          path: `${ofFactory}/registry-tokens`,
          body: JSON.stringify({ registry: "h1999.example.com" }),
        },
      ],
      [
        "all tokens",
        { method: "POST", path: `${ofFactory}/registry-tokens`, body: JSON.stringify({ allowPartial: true }) },
      ],
      [
        "references",
        {
          method: "POST",
          path: `${ofFactory}/references:check`,
          body: JSON.stringify({ references: Array.from({ length: 100 }, (_, at) => `h${at}.example.com/a/b:1`) }),
        },
      ],
      ["usage", { method: "GET", path: `${ofFactory}/secrets/s1/usage` }],
      ["report", { method: "GET", path: `${ofFactory}/reports/rotation` }],
      ["audit", { method: "GET", path: `${ofFactory}/audit?pageSize=200` }],
      ["export", { method: "GET", path: `${ofFactory}/audit/export` }],
    ];
    const failures: string[] = [];
    for (const [what, sent] of walk)
      await expectNoStall(what, sent).catch((error: Error) => failures.push(error.message));
    expect(failures).toEqual([]);
  });
});

describe("values of", () => {
  const size = 60_000;
  it.each([
    ["letters", "x".repeat(size)],
    ["characters of three bytes", "漢".repeat(21_000)],
    ["lines of an AWS file that are wrong", `[default]\naws_access_key_id=a\n${"x=1\n".repeat(15_000)}`.slice(0, size)],
    [
      "lines of an AWS file that repeat",
      `[default]\naws_access_key_id=a\n${"region=us-east-1\n".repeat(15_000)}`.slice(0, size),
    ],
    ["profiles of an AWS file", `aws_access_key_id=\n${lines(9_000, (at) => `[p${at}]`)}`.slice(0, size)],
    ["blanks", " ".repeat(size)],
    ["line ends", `-----BEGIN x\n${"\r\n".repeat(size / 2)}`.slice(0, size)],
    ["base64 of base64", Buffer.from(randomBytes(33_000).toString("base64")).toString("base64").slice(0, size)],
    ["brackets", "[".repeat(size)],
    ["JSON", `{"type":${"[".repeat(9_000)}${"]".repeat(9_000)}}`],
    ["command substitutions", "$(<".repeat(size / 3)],
    ["keys in PEM", "-----BEGIN OPENSSH PRIVATE KEY-----\n".repeat(1_600)],
  ])("%s, in one request and in a batch", async (what, value) => {
    const one = JSON.stringify({ value });
    await expectNoStall(what, { method: "PUT", path: `${ofFactory}/secrets/one`, body: one }, [200, 201]);
    const count = Math.min(
      95,
      Math.floor((1024 * 1024) / (one.length + 30)),
      Math.floor((1024 * 1024) / (Buffer.byteLength(one) + 30)),
    );
    const batch = JSON.stringify({ secrets: Array.from({ length: count }, (_, at) => ({ name: `n${at}`, value })) });
    await expectNoStall(
      `${count} of ${what}`,
      { method: "POST", path: `${ofFactory}/secrets:batch`, body: batch },
      [200],
    );
    const verify = { method: "POST", path: `${ofFactory}/secrets/one:verify`, body: one };
    await expectNoStall(`compared: ${what}`, verify);
  });
});

const withJson = routes.filter(({ auth, body }) => body?.kind === "json" && auth !== "signature");

/** What a field can be filled with, whatever it is for: large in every way, and just within what is read. */
const fillings = (maxBytes: number, maxValues: number): [string, unknown][] => {
  const count = Math.min(maxValues - 10, Math.floor(maxBytes / 12));
  return [
    ["a long text", "x".repeat(maxBytes - 200)],
    ["a long text of slashes and blanks", " /".repeat(maxBytes / 2 - 200)],
    ["a list of numbers", Array.from({ length: count }, () => 1)],
    ["a list of objects", Array.from({ length: Math.floor(count / 2) }, () => ({}))],
    ["a list of texts", Array.from({ length: count }, (_, at) => `a${at}`)],
    [
      "an object of many members",
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`a${at}`, "x"] as const)),
    ],
    ["a deep list", JSON.parse(`${"[".repeat(2_000)}${"]".repeat(2_000)}`)],
  ];
};

describe("lists of large rows", () => {
  const large = "large-rows";
  const of = `/v1/factories/${large}`;
  const grants = (repositories: number) =>
    Array.from({ length: 100 }, (_, at) => ({
      registry: `r${at}.example.com`,
      repositories: Array.from({ length: repositories }, (_, n) => `team${at}/app${n}`),
      actions: ["pull"],
    }));
  const post = (path: string, body: object) => service.as(service.operatorToken).post(`${of}/${path}`).send(body);

  beforeAll(async () => {
    await service.createFactory(large);
    const conditions = [
      { claim: "repository_id", equals: "1" },
      { claim: "repository_owner_id", equals: "1" },
    ];
    const issuer = "https://token.actions.githubusercontent.com";
    for (let at = 0; at < 25; at += 1) {
      const job = await post("jobs", { name: "large", ttlSeconds: 3_600, grants: grants(100) });
      expect(job.status).toBe(201);
      const rule = { name: `r${at}`, issuer, audience: `a${at}`, conditions, grants: grants(20) };
      expect((await post("trust-rules", rule)).status).toBe(201);
    }
  });

  it.each(["jobs", "trust-rules", "audit", "audit/export", "audit/export.cef"])("%s", async (path) => {
    const page = path.startsWith("audit/") ? "" : "?pageSize=200";
    await expectNoStall(path, { method: "GET", path: `${of}/${path}${page}` }, [200]);
  });

  it.each(["jobs", "trust-rules", "audit"])("%s come whole, each once, a page after the other", async (path) => {
    const seen: string[] = [];
    let next = "";
    for (let pages = 0; pages < 100; pages += 1) {
      const { body } = await service.as(service.operatorToken).get(`${of}/${path}?pageSize=200${next}`);
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      if (body.nextPageToken === undefined) break;
      next = `&pageToken=${encodeURIComponent(body.nextPageToken)}`;
    }
    expect(seen.length).toBeGreaterThanOrEqual(25);
    expect(new Set(seen).size).toBe(seen.length);
  });
});

describe("bodies that are right, with as many values as are taken", () => {
  const ofThis = "/v1/factories/large-bodies";
  const repositories = (grant: number) => Array.from({ length: 100 }, (_, at) => `team${grant}/a${at}`);
  const grants = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ registry: `r${at}.example.com`, repositories: repositories(at) }));
  const conditions = [
    { claim: "repository_id", equals: "1" },
    { claim: "repository_owner_id", equals: "1" },
    ...Array.from({ length: 48 }, (_, at) => ({
      claim: `c${at}`,
      equalsAny: Array.from({ length: 50 }, (_, value) => `${at} ${value}`),
    })),
  ];
  const rule = { issuer: "https://token.actions.githubusercontent.com", conditions: conditions.slice(0, 2) };
  let number = 0;
  const numbered = () => {
    number += 1;
    return String(number);
  };
  const post = (path: string, body: () => object): Sent => ({
    method: "POST",
    path: `${ofThis}/${path}`,
    get body() {
      return JSON.stringify({ name: numbered(), ...body() });
    },
  });

  beforeAll(async () => {
    await service.createFactory("large-bodies");
  });

  it.each<[string, () => Promise<Sent>, number]>([
    ["a job of ten thousand repositories", async () => post("jobs", () => ({ grants: grants(100) })), 201],
    [
      "a job whose grants are for one registry",
      async () =>
        post("jobs", () => ({ grants: grants(100).map((grant) => ({ ...grant, registry: "r.example.com" })) })),
      201,
    ],
    [
      "a trust rule of many repositories",
      async () => post("trust-rules", () => ({ ...rule, audience: numbered(), grants: grants(40) })),
      201,
    ],
    [
      "a trust rule of many values",
      async () => post("trust-rules", () => ({ ...rule, conditions, audience: numbered(), grants: grants(1) })),
      201,
    ],
    [
      "an authority whose devices may pull ten thousand repositories",
      async () => {
        const { pem } = await makeRoot();
        return post("device-authorities", () => ({ certificates: pem, policy: { grants: grants(100) } }));
      },
      201,
    ],
    [
      "fifty demands of a hundred repositories",
      async () => ({
        method: "POST",
        path: `${ofThis}/registry-tokens`,
        body: JSON.stringify({ requests: grants(50), allowPartial: true }),
      }),
      200,
    ],
  ])("%s", async (what, sent, status) => {
    await expectNoStall(what, await sent(), [status, 409], whatAnyMayHoldMs);
  });
});

it("certificates of an authority, as many as fit in", async () => {
  const { pem } = await makeRoot();
  const certificates = `${pem}\n`.repeat(Math.floor(95_000 / (pem.length + 1)));
  const sent = { method: "POST", path: `${ofFactory}/device-authorities` };
  await expectNoStall("one many times", { ...sent, body: JSON.stringify({ name: "x", certificates }) }, [422]);
});

it("a revocation list of as many entries as can be read, with every route that reads it", async () => {
  const root = await makeRoot();
  const authorities = `${ofFactory}/device-authorities`;
  const body = JSON.stringify({ name: "revoking", certificates: root.pem });
  const { status, text } = await watch.send({ method: "POST", path: authorities, body });
  expect(status, text).toBe(201);
  const path = `${authorities}/${JSON.parse(text).id}`;
  const serials = Array.from({ length: 1_400 }, (_, at) => (0x4000_0000_0000_0000n + BigInt(at)).toString(16));
  const put = (list: Buffer): Sent => ({
    method: "PUT",
    path: `${path}/revocation-list`,
    body: JSON.stringify({ revocationList: list.toString("base64") }),
  });
  await expectNoStall("upload", put(await makeRevocationList(root, serials)), [200]);
  await expectNoStall("another's", put(await makeRevocationList(await makeRoot(), serials)), [422]);
  await expectNoStall("no list", put(Buffer.alloc(128 * 1024, 0x30)), [422]);
  await expectNoStall("show", { method: "GET", path }, [200]);
  await expectNoStall("list", { method: "GET", path: authorities }, [200]);
});

describe.each(withJson.map((route) => [titleOfRoute(route), route] as const))("%s", (_title, route) => {
  const spec = route.body;
  if (spec?.kind !== "json") throw new Error("a route with JSON");
  const { maxBytes = maxJsonBytes, maxValues = 20_000 } = spec;

  it("holds nobody up, whatever stands in its fields", async () => {
    const failures: string[] = [];
    const all = fillings(maxBytes, maxValues);
    for (const [at, field] of [...fieldsAt(spec.schema, []), "unknown"].entries()) {
      // Two of them for each field, in turn, so that each stands in many fields of the suite; in full all for each.
      const some = isLong
        ? all
        : all.filter((_, way) => way === (2 * at) % all.length || way === (2 * at + 1) % all.length);
      for (const [what, value] of some) {
        const body = JSON.stringify({ [field]: value });
        const sent = { method: route.method.toUpperCase(), path: pathOfRoute(route, factory), body };
        await expectNoStall(`${field}: ${what}`, sent).catch((error: Error) => failures.push(error.message));
      }
    }
    const members = Object.fromEntries(
      Array.from({ length: Math.min(maxValues, maxBytes / 12) - 10 }, (_, at) => [`a${at}`, "x"] as const),
    );
    const sent = {
      method: route.method.toUpperCase(),
      path: pathOfRoute(route, factory),
      body: JSON.stringify(members),
    };
    await expectNoStall("unknown members", sent).catch((error: Error) => failures.push(error.message));
    expect(failures).toEqual([]);
  });
});

it("what holds the event loop is seen: this test can fail", async () => {
  const busy = setInterval(() => {
    const until = performance.now() + 60;
    while (performance.now() < until);
  }, 1);
  const { longestHoldMs } = await watch.send({ method: "GET", path: "/healthz" }).finally(() => clearInterval(busy));
  expect(longestHoldMs).toBeGreaterThan(mostMs / 2);
});
