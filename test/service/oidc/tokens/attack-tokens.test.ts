import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue, watched } from "../../../support/leak-watch.js";
import { newSigningKey, nowSeconds, type SigningKey, type TestIssuer } from "../../../support/oidc-issuer.js";
import { expectProblem } from "../../http/expect-problem.js";
import { algorithmAttacks } from "./attacks/algorithm-attacks.js";
import { claimAttacks } from "./attacks/claim-attacks.js";
import { formAttacks } from "./attacks/form-attacks.js";
import { headerAttacks } from "./attacks/header-attacks.js";
import type { Workshop } from "./attacks/workshop.js";
import { audience, startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

let factory: TrustingFactory;
let workshop: Workshop;
/** A factory that trusts nobody. */
let elsewhere: string;
const bodies = new Set<string>();

beforeAll(async () => {
  const hosts = ["idp.example.test", "other.example.test", "twice.example.test", "weak.example.test"];
  factory = await startTrustingFactory([...hosts, "rotated.example.test", "cold.example.test"]);
  const issuer = factory.issuers.of("idp.example.test");
  const otherIssuer = factory.issuers.of("other.example.test");
  const ec = newSigningKey("ES256");
  issuer.keys = [issuer.key.jwk, ec.jwk, newSigningKey("RS256").jwk];
  elsewhere = (await factory.service.createFactory()).name;
  const algorithms = ["RS256", "ES256", "PS256"];
  await factory.trust({ issuer: issuer.url, algorithms });
  await factory.trust({ issuer: otherIssuer.url, algorithms, conditions: [{ claim: "project_id", equals: "7" }] });
  const good = (changes: Record<string, unknown> = {}) => ({
    iss: issuer.url,
    aud: audience,
    sub: "job",
    iat: nowSeconds(),
    exp: nowSeconds() + 300,
    jti: randomUUID(),
    project_id: "42",
    // Shows, wherever it stands, that a part of a token got out.
    canary: secretValue("claim"),
    ...changes,
  });
  const sign: Workshop["sign"] = (claims = {}, header = {}, key) => issuer.sign(good(claims), header, key);
  workshop = { issuer, otherIssuer, ec, good, sign };
});
afterAll(async () => {
  expect([...bodies]).toHaveLength(1);
  await factory.close();
});

/** Presents it to the factory that trusts its issuer, to one that trusts nobody, and to one that is not there. */
async function expectRefused(token: string): Promise<void> {
  for (const part of [token, ...token.split(".")])
    if (part.length > 24 && part !== ".".repeat(part.length)) watched(part);
  const names = [factory.factory.name, elsewhere, "no-such-factory"];
  for (const reply of await Promise.all(names.map((name) => factory.present(token, name)))) {
    const { requestId: _requestId, ...body } = expectProblem(reply, "unauthenticated");
    expect(reply.headers["www-authenticate"]).toBe('Bearer realm="factory-secrets"');
    bodies.add(JSON.stringify(body));
  }
}

it("lets in the token that the attacks are made of", async () => {
  expect((await factory.present(workshop.sign())).status).toBe(200);
  expect((await factory.present(workshop.sign({ aud: [audience] }))).status).toBe(200);
  expect((await factory.present(workshop.sign({}, {}, workshop.ec))).status).toBe(200);
  expect((await factory.present(workshop.sign({}, { typ: undefined }))).status).toBe(200);
});

const attacks = [...algorithmAttacks, ...headerAttacks, ...claimAttacks, ...formAttacks];

it("stands for at least sixty attacks", () => {
  expect(new Set(attacks.map(([name]) => name)).size).toBe(attacks.length);
  expect(attacks.length).toBeGreaterThanOrEqual(60);
});

describe("is refused, with one and the same 401 whatever the factory:", () => {
  it.concurrent.each(attacks)("%s (%s)", async (_name, _standsFor, make) => {
    await expectRefused(make(workshop));
  });
});

describe("keys that make no proof", () => {
  const project = (issuer: TestIssuer, key?: SigningKey) => issuer.sign({ project_id: "42" }, {}, key);

  it("stand twice under one kid", async () => {
    const issuer = factory.issuers.of("twice.example.test");
    issuer.keys = [issuer.key.jwk, newSigningKey("RS256", issuer.key.kid).jwk];
    await factory.trust({ issuer: issuer.url });
    await expectRefused(project(issuer));
  });

  it("are weak: RSA with 1,024 bits", async () => {
    const issuer = factory.issuers.of("weak.example.test");
    const weak = newSigningKey("RS256", undefined, 1_024);
    issuer.keys = [weak.jwk];
    await factory.trust({ issuer: issuer.url });
    await expectRefused(project(issuer, weak));
  });

  it("were rotated away", async () => {
    const issuer = factory.issuers.of("rotated.example.test");
    const stale = issuer.key;
    issuer.rotate();
    await factory.trust({ issuer: issuer.url });
    await expectRefused(project(issuer, stale));
    expect((await factory.present(project(issuer))).status).toBe(200);
  });
});

it("logs why, by a code, and nothing of the token", async () => {
  const reasonOf = async (token: string, name = factory.factory.name) => {
    const reply = await factory.present(token, name);
    const find = () => factory.service.logLines.find((text) => text.includes(reply.headers["x-request-id"] ?? "no id"));
    // The line is written after the answer.
    await expect.poll(find).toBeDefined();
    return JSON.parse(find() ?? "{}");
  };
  const { sign } = workshop;
  expect(await reasonOf(sign({ project_id: "43" }))).toMatchObject({
    route: "issueRegistryTokens",
    reason: "no-match",
  });
  expect(await reasonOf(sign({ aud: "x" }))).toMatchObject({ reason: "audience" });
  expect(await reasonOf(sign({ iss: "x" }))).toMatchObject({ reason: "issuer" });
  expect(await reasonOf(sign({ exp: 1 }))).toMatchObject({ reason: "expired" });
  expect(await reasonOf(`${sign().slice(0, -8)}AAAAAAAA`)).toMatchObject({ reason: "signature" });
  expect(await reasonOf(sign(), "no-such-factory")).toMatchObject({ reason: "no-factory" });
});

it("asks no issuer for its keys because of a token that no rule is for, signed or not", async () => {
  const issuer = factory.issuers.of("cold.example.test");
  await factory.trust({ issuer: issuer.url });
  for (const claims of [
    { project_id: "43" },
    { aud: "x" },
    { exp: nowSeconds() - 5 },
    { iss: "https://nobody.example" },
  ]) {
    await expectRefused(issuer.sign({ project_id: "42", ...claims }));
  }
  expect(issuer.endpoint.requests).toEqual([]);
  await expectRefused(`${issuer.sign({ project_id: "42" }).slice(0, -8)}AAAAAAAA`);
  expect(issuer.fetches()).toBe(1);
});

it("answers no refusal sooner than 100 ms, whatever is wrong", async () => {
  const path = (name: string) => `${factory.service.url}/v1/factories/${name}/registry-tokens`;
  const tokens = [workshop.sign({ project_id: "43" }), workshop.sign({ iss: "https://nobody.example" }), "a.b.c"];
  for (const token of tokens) {
    for (const name of [factory.factory.name, elsewhere, "no-such-factory"]) {
      const startedMs = performance.now();
      const reply = await fetch(path(name), { method: "POST", headers: { authorization: `Bearer ${token}` } });
      expect(reply.status).toBe(401);
      // Timers may fire a millisecond early.
      expect(performance.now() - startedMs).toBeGreaterThan(98);
    }
  }
});
