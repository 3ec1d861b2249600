import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watched } from "../../../support/leak-watch.js";
import { newSigningKey, nowSeconds, type TestIssuer } from "../../../support/oidc-issuer.js";
import { expectProblem } from "../../http/expect-problem.js";
import { audience, startTrustingFactory, type TrustingFactory } from "../tokens/trusting-factory.js";

let factory: TrustingFactory;
let issuer: TestIssuer;
let reader: string;

beforeAll(async () => {
  factory = await startTrustingFactory(["idp.example.test", "odd.example.test"]);
  issuer = factory.issuers.of("idp.example.test");
  reader = (await factory.service.createApiToken(factory.factory.name, ["access:read"])).token;
});
afterAll(() => factory.close());

const explain = (body: Record<string, unknown>) =>
  factory.service.as(reader).post(`/v1/factories/${factory.factory.name}/trust-rules:explain`).send(body);

/** A token whose signature must be seen nowhere. */
function signed(...input: Parameters<TestIssuer["sign"]>): string {
  const token = issuer.sign(...input);
  watched(token.split(".")[2] ?? "");
  return token;
}

/** A rule for claims that no other test's token has. */
async function rule(terms: Record<string, unknown> = {}) {
  const project = randomUUID();
  const conditions = [{ claim: "project_id", equals: project }];
  const id = await factory.trust({ issuer: issuer.url, conditions, ...terms });
  return { id, project };
}

type Explained = {
  id: string;
  matches: boolean;
  token?: Record<string, unknown>;
  conditions: Record<string, unknown>[];
};
const explained = (body: { rules: Explained[] }, id: string) => body.rules.find((one) => one.id === id);

describe("whoever debugs a red build", () => {
  it("sees which rule lets the token in, and what it would get", async () => {
    const { id, project } = await rule({ name: "main branch", maxTtlSeconds: 900 });
    const { status, body } = await explain({ idToken: signed({ project_id: project }) });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      matches: true,
      grants: [{ registry: "ghcr.io", repositories: ["acme/app"], actions: ["pull"] }],
      maxTtlSeconds: 900,
    });
    // The rule that matches stands first.
    expect(body.rules[0]).toEqual({
      id,
      name: "main branch",
      matches: true,
      token: { holds: true, message: "Signature, issuer, audience and times hold." },
      conditions: [
        { claim: "iss", expected: `"${issuer.url}"`, found: `"${issuer.url}"`, holds: true },
        { claim: "aud", expected: `"${audience}" alone`, found: `"${audience}"`, holds: true },
        { claim: "project_id", expected: `"${project}"`, found: `"${project}"`, holds: true },
      ],
    });
  });

  it("sees that a token without a jti is refused, whatever other rule it matches, once a single-use rule matches", async () => {
    const many = await rule();
    const conditions = [{ claim: "project_id", equals: many.project }];
    const once = await factory.trust({ issuer: issuer.url, conditions, singleUse: true });
    const token = signed({ project_id: many.project, jti: undefined });
    const { body } = await explain({ idToken: token });
    expect(body).toMatchObject({ matches: false, grants: [] });
    expect([explained(body, many.id)?.matches, explained(body, once)?.matches]).toEqual([true, false]);
    expect((await factory.present(token)).status).toBe(401);
  });

  it.each<[string, Record<string, unknown>, unknown, string | undefined]>([
    [
      "a text where the rule wants a boolean",
      { equalsBoolean: true },
      "true",
      "The token has it as a text: write equals.",
    ],
    [
      "a boolean where the rule wants a text",
      { equals: "true" },
      true,
      "The token has it as a boolean: write equalsBoolean.",
    ],
    ["a number where the rule wants a text", { equals: "7" }, 7, "The token has it as a number: write equalsNumber."],
    ["a number where the rule wants a glob", { glob: "7*" }, 77, "The token has it as a number: write equalsNumber."],
    ["another case", { equals: "Main" }, "main", "Differs by upper and lower case alone, and that counts."],
    ["a slash that a star stops at", { glob: "refs/*" }, "refs/heads/x", "A star stops at a slash; two stars do not."],
    ["a list", { equals: "a" }, ["a"], "Only a text, a number or a boolean can be compared."],
    ["something else altogether", { equals: "main" }, "release", undefined],
  ])("is told of %s", async (_what, comparison, found, hint) => {
    const { project } = await rule();
    const conditions = [
      { claim: "project_id", equals: project },
      { claim: "branch", ...comparison },
    ];
    const id = await factory.trust({ issuer: issuer.url, conditions });
    const { body } = await explain({ idToken: signed({ project_id: project, branch: found }) });
    const [, , , condition] = explained(body, id)?.conditions ?? [];
    expect(condition).toEqual({
      claim: "branch",
      expected: expect.any(String),
      found: JSON.stringify(found),
      holds: false,
      ...(hint !== undefined && { hint }),
    });
    expect(explained(body, id)?.matches).toBe(false);
  });

  it("is told of a claim whose name is nearly right, and of one that is not there", async () => {
    const conditions = [
      { claim: "projectid", equals: "1" },
      { claim: "nothing_like_it", equals: "1" },
    ];
    const id = await factory.trust({ issuer: issuer.url, conditions });
    const { body } = await explain({ idToken: signed({ project_id: "1" }) });
    const [, , slip, absent] = explained(body, id)?.conditions ?? [];
    expect(slip).toMatchObject({ holds: false, hint: "The token has no such claim. It has project_id." });
    expect(slip).not.toHaveProperty("found");
    expect(absent).toMatchObject({ hint: "The token has no such claim." });
  });

  it("is told which of issuer and audience the claims do not have", async () => {
    const { id, project } = await rule();
    const { body } = await explain({ claims: { project_id: project } });
    const [iss, aud] = explained(body, id)?.conditions ?? [];
    expect(iss).toMatchObject({ holds: false, hint: "The token has no such claim." });
    expect(aud).toMatchObject({ holds: false, hint: "The token has no such claim." });
  });

  it("is told that claims typed by hand are not as the issuer sends them, and that the rule is right", async () => {
    const conditions = [{ claim: "project_id", equals: "7" }];
    const id = await factory.trust({ issuer: "https://gitlab.com", template: "gitlab", conditions });
    const { body } = await explain({ claims: { iss: "https://gitlab.com", aud: audience, project_id: 7 } });
    expect(explained(body, id)?.conditions[2]).toMatchObject({
      holds: false,
      hint: "Here it is a number; GitLab CI/CD is known to send it as a text.",
    });
  });

  it("is told of an audience among others, and of an issuer with a slash more", async () => {
    const { id, project } = await rule();
    const claims = { project_id: project, aud: [audience, "https://other.example.com"] };
    const { body } = await explain({ claims: { ...claims, iss: `${issuer.url}/` } });
    const [iss, aud] = explained(body, id)?.conditions ?? [];
    expect(iss).toMatchObject({ holds: false, hint: expect.stringContaining("slash") });
    expect(aud).toMatchObject({ holds: false, hint: expect.stringContaining("for others too") });
  });

  it.each<[string, () => string]>([
    ["signature", () => signed({}, {}, { ...newSigningKey("RS256"), kid: issuer.key.kid })],
    ["key-unknown", () => signed({}, {}, newSigningKey("RS256"))],
    ["expired", () => signed({ exp: nowSeconds() - 1 })],
    ["not-yet-valid", () => signed({ nbf: nowSeconds() + 120 })],
    ["too-long-lived", () => signed({ exp: nowSeconds() + 90_000 })],
    ["audience", () => signed({ aud: "https://other.example.com" })],
    ["issuer", () => signed({ iss: "https://other.example.com" })],
    ["type", () => signed({}, { typ: "at+jwt" })],
    ["algorithm", () => signed({}, {}, { ...issuer.key, alg: "RS512" })],
    ["malformed", () => signed({ exp: "tomorrow" })],
  ])("is told that the token itself fails: %s", async (failed, token) => {
    const { id } = await rule();
    const { body } = await explain({ idToken: token() });
    expect(explained(body, id)).toMatchObject({
      matches: false,
      token: { holds: false, failed, message: expect.stringMatching(/\.$/) },
    });
    expect(body).toMatchObject({ matches: false, grants: [] });
  });

  it("may ask with claims alone, and is then told nothing of signature and times", async () => {
    const { id, project } = await rule();
    const { body } = await explain({ claims: { iss: issuer.url, aud: audience, project_id: project } });
    expect(explained(body, id)?.matches).toBe(true);
    expect(explained(body, id)).not.toHaveProperty("token");
  });

  it("uses up no token that is good for one use", async () => {
    const { id, project } = await rule({ singleUse: true });
    const token = signed({ project_id: project });
    for (const _ of [1, 2]) expect(explained((await explain({ idToken: token })).body, id)?.matches).toBe(true);
    expect((await factory.present(token)).status).toBe(200);
    expect((await factory.present(token)).status).toBe(401);
    const { body } = await explain({ idToken: signed({ project_id: project, jti: undefined }) });
    expect(explained(body, id)?.conditions.at(-1)).toMatchObject({
      claim: "jti",
      holds: false,
      hint: "The token has no such claim. Without it a rule with singleUse takes none.",
    });
  });

  it("is shown no more than 200 characters of a claim", async () => {
    const { id } = await rule();
    const { body } = await explain({ claims: { iss: issuer.url, aud: audience, project_id: "x".repeat(5_000) } });
    expect(explained(body, id)?.conditions[2]?.found).toHaveLength(200);
  });

  it("sees nothing of another factory's rules", async () => {
    const { project } = await rule();
    const other = await factory.service.createFactory();
    const path = `/v1/factories/${other.name}/trust-rules:explain`;
    const { body } = await factory.service
      .as(factory.service.operatorToken)
      .post(path)
      .send({ idToken: signed({ project_id: project }) })
      .expect(200);
    expect(body).toEqual({ matches: false, rules: [], grants: [] });
  });

  it.each<[string, Record<string, unknown>]>([
    ["nothing", {}],
    ["both", { idToken: "a.b.c", claims: {} }],
    ["what is no token", { idToken: "not a token" }],
    ["a token with a member twice", { idToken: twice() }],
    ["claims that are a list", { claims: [] }],
    ["claims that are null", { claims: null }],
    ["claims that are a text", { claims: "{}" }],
    ["a token longer than any", { idToken: "a".repeat(16 * 1024 + 1) }],
  ])("is told that %s cannot be judged, and what they sent is not quoted", async (_what, body) => {
    const { detail } = expectProblem(await explain(body), "invalid-request");
    expect(detail).not.toContain("not a token");
  });
});

function twice(): string {
  const part = (text: string) => Buffer.from(text).toString("base64url");
  return [part('{"alg":"RS256"}'), part('{"sub":"a","sub":"b"}'), part("signature")].join(".");
}

describe("the clocks", () => {
  it.each([
    ["expired", { exp: nowSeconds() - 60 }, "exp is"],
    ["not-yet-valid", { iat: nowSeconds() + 600 }, "iat is"],
    ["not-yet-valid", { nbf: nowSeconds() + 3 * 86_400, exp: nowSeconds() + 3 * 86_400 + 300 }, "nbf is"],
    ["too-long-lived", { exp: nowSeconds() + 2 * 86_400 }, "exp is"],
  ])("are both named for a token that is %s", async (failed, claims, named) => {
    const { id, project } = await rule();
    const { body } = await explain({ idToken: signed({ project_id: project, ...claims }) });
    const token = explained(body, id)?.token;
    expect(token).toMatchObject({ holds: false, failed, message: expect.stringContaining(named) });
    expect(token?.message).toMatch(/the time here is \d{4}-\d\d-\d\dT/);
  });
});

describe("an issuer's odd keys", () => {
  it("are left out and named, and the issuer is not called unreachable", async () => {
    const odd = { kid: "x", use: "sig" };
    const own = factory.issuers.of("odd.example.test");
    own.keys = [odd, own.key.jwk];
    const id = await factory.trust({ issuer: own.url, conditions: [{ claim: "project_id", equals: "odd" }] });
    const { body } = await explain({ idToken: own.sign({ project_id: "odd" }) });
    const ignoredKeys = [{ at: "/keys/0", kid: "x", reason: "has no kty" }];
    expect(explained(body, id)).toMatchObject({ matches: true, token: { holds: true, ignoredKeys } });
    const newIssuer = await startTrustingFactory(["alone.example.test"]);
    try {
      const alone = newIssuer.issuers.of("alone.example.test");
      alone.keys = [odd];
      const only = await newIssuer.trust({ issuer: alone.url, conditions: [{ claim: "project_id", equals: "odd" }] });
      const asked = newIssuer.service.as(newIssuer.service.operatorToken);
      const path = `/v1/factories/${newIssuer.factory.name}/trust-rules:explain`;
      const reply = await asked.post(path).send({ idToken: alone.sign({ project_id: "odd" }) });
      expect(explained(reply.body, only)?.token).toMatchObject({
        failed: "key-unknown",
        message: expect.stringContaining("/keys/0 has no kty"),
        ignoredKeys,
      });
    } finally {
      await newIssuer.close();
    }
  });
});
