import { describe, expect, it } from "vitest";
import { claimAt, holds } from "../../../../src/identity/trust-rules/conditions.js";
import { type TrustCondition, TrustRuleRequest } from "../../../../src/identity/trust-rules/contract.js";
import { someRule } from "./some-rule.js";

const claim = "c";
const condition = (comparison: Partial<TrustCondition>): TrustCondition => ({ claim, ...comparison });

describe("a condition", () => {
  it.each<[string, Partial<TrustCondition>, unknown]>([
    ["a text", { equals: "true" }, "true"],
    ["a number", { equalsNumber: 1 }, 1],
    ["true", { equalsBoolean: true }, true],
    ["false", { equalsBoolean: false }, false],
    ["one of several texts", { equalsAny: ["a", "b"] }, "b"],
    ["one of several numbers", { equalsAnyNumber: [1, 2] }, 2],
    ["a glob", { glob: "refs/tags/*" }, "refs/tags/v1"],
  ])("holds for %s that it asks for", (_what, comparison, found) => {
    expect(holds(condition(comparison), { [claim]: found })).toBe(true);
  });

  it.each<[string, Partial<TrustCondition>, unknown]>([
    ["true for the text true", { equals: "true" }, true],
    ["the text true for true", { equalsBoolean: true }, "true"],
    ["1 for the text 1", { equals: "1" }, 1],
    ["the text 1 for 1", { equalsNumber: 1 }, "1"],
    ["1 for true", { equalsBoolean: true }, 1],
    ["true for 1", { equalsNumber: 1 }, true],
    ["null for the text null", { equals: "null" }, null],
    ["null for false", { equalsBoolean: false }, null],
    ["an absent claim for false", { equalsBoolean: false }, undefined],
    ["a list of the one text", { equals: "a" }, ["a"]],
    ["a list for a glob", { glob: "a*" }, ["a"]],
    ["an object that writes itself as the text", { equals: "a" }, { toString: "a" }],
    ["a number for a glob", { glob: "1*" }, 12],
    ["another case", { equals: "Main" }, "main"],
    ["a blank more", { equals: "main" }, "main "],
    ["the same letters composed otherwise", { equals: "\u00e9" }, "e\u0301"],
    ["a look-alike letter", { equals: "acme" }, "\u0430cme"],
    ["a text too long for a glob", { glob: "a**" }, "a".repeat(1_001)],
  ])("does not take %s", (_what, comparison, found) => {
    expect(holds(condition(comparison), { [claim]: found })).toBe(false);
  });

  it("that asks for nothing holds for nobody", () => {
    for (const found of [undefined, null, "", 0, false, "a"]) {
      expect(holds(condition({}), { [claim]: found })).toBe(false);
      expect(holds(condition({ equalsAny: [] }), { [claim]: found })).toBe(false);
    }
  });
});

describe("a claim's name", () => {
  const claims = JSON.parse(`{
    "a/b": "top", "oidc.circleci.com/project-id": "p", "": "empty",
    "kubernetes.io": { "namespace": "ci", "a/b": "slash", "t~": "tilde", "list": ["x"] },
    "/lead": "lead", "__proto__": { "polluted": "own" }
  }`);

  it.each([
    ["a/b", "top"],
    ["oidc.circleci.com/project-id", "p"],
    ["/a~1b", "top"],
    ["/kubernetes.io/namespace", "ci"],
    ["/kubernetes.io/a~1b", "slash"],
    ["/kubernetes.io/t~0", "tilde"],
    ["/~1lead", "lead"],
    ["/__proto__/polluted", "own"],
  ])("%s leads to its claim", (name, value) => {
    expect(claimAt(claims, name)).toBe(value);
  });

  it.each([
    "kubernetes.io.namespace",
    "/kubernetes.io/list/0",
    "/kubernetes.io/namespace/length",
    "toString",
    "/constructor/name",
    "/kubernetes.io/__proto__",
    "hasOwnProperty",
  ])("%s leads to nothing", (name) => {
    expect(claimAt(claims, name)).toBeUndefined();
  });

  it("cannot be reached through a prototype that a claim brings", () => {
    expect(holds({ claim: "polluted", equals: "own" }, claims)).toBe(false);
  });
});

describe("the shape of a rule", () => {
  const { id: _id, version: _version, ...rule } = someRule();
  const errorsOf = (parts: Record<string, unknown>) =>
    TrustRuleRequest.safeParse({ ...rule, ...parts }).error?.issues.map(({ path }) => `/${path.join("/")}`);

  it("takes a rule of the usual shape", () => {
    expect(errorsOf({})).toBeUndefined();
    expect(errorsOf({ issuer: "https://kubernetes.default.svc:443" })).toBeUndefined();
    expect(errorsOf({ issuer: "https://issuer.example.com/tenant/" })).toBeUndefined();
    expect(errorsOf({ issuer: "https://xn--ggle-55da.com" })).toBeUndefined();
  });

  it.each([
    ["http", "http://issuer.example.com"],
    ["no scheme", "issuer.example.com"],
    ["a user", "https://user@issuer.example.com"],
    ["a query", "https://issuer.example.com/?a"],
    ["an empty query", "https://issuer.example.com/?"],
    ["a fragment", "https://issuer.example.com#"],
    ["a look-alike letter", "https://issu\u0435r.example.com"],
    ["an upper-case host", "https://Issuer.example.com"],
    ["steps that a parser removes", "https://issuer.example.com/a/../b"],
    ["a host in octal", "https://0177.0.0.1"],
    ["a blank", "https://issuer.example.com "],
    ["a line end", "https://issuer.example.com\n"],
    ["a backslash", "https://issuer.example.com\\@evil.example.com"],
    ["only a scheme", "https://"],
  ])("refuses an issuer with %s", (_what, issuer) => {
    expect(errorsOf({ issuer })).toEqual(["/issuer"]);
  });

  it("tells whoever writes a look-alike issuer how it is written", () => {
    const result = TrustRuleRequest.safeParse({ ...rule, issuer: "https://issu\u0435r.example.com" });
    expect(result.error?.issues[0]?.message).toContain("xn--");
  });

  it.each([
    ["no comparison", { claim }],
    ["two comparisons", { claim, equals: "a", glob: "a*" }],
    ["an empty text", { claim, equals: "" }],
    ["an empty list", { claim, equalsAny: [] }],
    ["a number as equals", { claim, equals: 1 }],
    ["a member that nobody knows", { claim, equals: "a", not: "b" }],
    ["an empty step", { claim: "/a//b", equals: "a" }],
    ["a slash at its end", { claim: "/a/", equals: "a" }],
    ["a tilde that escapes nothing", { claim: "/a~2", equals: "a" }],
    ["no claim", { claim: "", equals: "a" }],
    ["a pattern", { claim, matches: "^a" }],
    ["nine stars", { claim, glob: "a*".repeat(9) }],
  ])("refuses a condition with %s", (_what, bad) => {
    expect(errorsOf({ conditions: [bad] })?.every((at) => at.startsWith("/conditions/0"))).toBe(true);
  });

  it.each<[string, Record<string, unknown>]>([
    ["too many conditions", { conditions: Array.from({ length: 51 }, () => ({ claim, equals: "a" })) }],
    ["no grant", { grants: [] }],
    ["no audience", { audience: "" }],
    ["audiences", { audience: ["a"] }],
    ["algorithm none", { algorithms: ["none"] }],
    ["a shared-key algorithm", { algorithms: ["HS256"] }],
    ["no algorithm", { algorithms: [] }],
    ["a key set at http", { jwksUrl: "http://issuer.example.com/jwks" }],
    ["two places of keys", { jwksUrl: "https://issuer.example.com/jwks", jwks: "{}" }],
    ["a life of no length", { maxTtlSeconds: 0 }],
    ["a star as repository", { grants: [{ registry: "ghcr.io", repositories: ["*"] }] }],
    ["an unknown template", { template: "jenkins" }],
  ])("refuses a rule with %s", (_what, parts) => {
    expect(errorsOf(parts)).not.toBeUndefined();
  });
});
