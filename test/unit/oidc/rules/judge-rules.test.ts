import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Grant } from "../../../../src/core/grant.js";
import type { TrustCondition, TrustRule } from "../../../../src/identity/trust-rules/contract.js";
import { decide, judgeRule, judgeRules } from "../../../../src/identity/trust-rules/judge-rules.js";
import { audience, matchRules, someRule, trustedBy } from "./some-rule.js";

const iss = "https://issuer.example.com";
const good = { iss, aud: audience, sub: "build-server-7" };

describe("a rule", () => {
  it("matches the claims that it asks for, and an audience in a list of one", () => {
    expect(matchRules([someRule()], good)).toHaveLength(1);
    expect(matchRules([someRule()], { ...good, aud: [audience] })).toHaveLength(1);
  });

  it.each<[string, Record<string, unknown>]>([
    ["an issuer with a slash more", { iss: `${iss}/` }],
    ["an issuer in another case", { iss: "https://Issuer.example.com" }],
    ["an issuer that begins alike", { iss: `${iss}.evil.example` }],
    ["no issuer", { iss: undefined }],
    ["an audience among others", { aud: [audience, "https://other.example.com"] }],
    ["an audience twice", { aud: [audience, audience] }],
    ["an audience in an object", { aud: { 0: audience, length: 1 } }],
    ["an audience that contains it", { aud: `${audience}/x` }],
    ["no audience", { aud: undefined }],
    ["an empty list of audiences", { aud: [] }],
    ["another subject", { sub: "build-server-70" }],
  ])("does not match %s", (_what, claims) => {
    expect(matchRules([someRule()], { ...good, ...claims })).toEqual([]);
  });

  it("without a condition matches nobody", () => {
    expect(matchRules([someRule({ conditions: [] })], good)).toEqual([]);
  });
});

describe("a verdict", () => {
  const rule = someRule({
    singleUse: true,
    conditions: [
      { claim: "sub", equals: "build-server-7" },
      { claim: "ref", glob: "refs/tags/*" },
    ],
  });

  it("says of each thing that the rule asks whether it holds", () => {
    const claims = { ...good, aud: "other", ref: "refs/heads/main" };
    expect(judgeRule(rule, { claims, algorithm: "ES256" })).toEqual({
      rule,
      issuer: true,
      audience: false,
      algorithm: false,
      conditions: [
        { condition: rule.conditions[0], holds: true },
        { condition: rule.conditions[1], holds: false },
      ],
      tokenId: false,
    });
  });

  it.each<[unknown, string | undefined]>([
    [undefined, "no-token-id"],
    ["", "no-token-id"],
    [7, "no-token-id"],
    ["id-1", undefined],
  ])("with the jti %j is %s for the single-use rule, and for all others that match", (jti, refusal) => {
    const claims = { ...good, ref: "refs/tags/1", jti };
    const decision = decide(judgeRules([someRule(), rule], { claims, algorithm: "RS256" }), claims);
    expect(typeof decision === "string" ? decision : undefined).toBe(refusal);
  });
});

describe("what the bearer gets", () => {
  it("is the list of the grants of all rules that match, not merged, with the shortest life", () => {
    const team: Grant = { registry: "ghcr.io", repositories: ["team/app"], actions: ["pull"] };
    const other: Grant = { registry: "docker.io", actions: ["pull"] };
    const rules = [
      someRule({ id: "1", grants: [team], maxTtlSeconds: 900 }),
      someRule({ id: "2", grants: [other], maxTtlSeconds: 600, singleUse: true }),
      someRule({ id: "3", conditions: [{ claim: "sub", equals: "somebody else" }], maxTtlSeconds: 60 }),
    ];
    const trusted = trustedBy(rules, good);
    expect(trusted).toMatchObject({ grants: [team, other], maxTtlSeconds: 600, singleUse: true });
    expect(trusted?.rules.map(({ id }) => id)).toEqual(["1", "2"]);
    expect(trustedBy(rules, { ...good, sub: "nobody" })).toBeUndefined();
  });

  it("is told to the audit with the rules and the claims that mattered", () => {
    const rule = someRule({
      template: "github-actions",
      conditions: [
        { claim: "repository_id", equals: "1" },
        { claim: "/deep/claim", equalsNumber: 7 },
      ],
    });
    const claims = { ...good, repository_id: "1", deep: { claim: 7 }, run_id: "55", actor_id: "9", actor: "somebody" };
    expect(trustedBy([rule], claims)?.evidence).toEqual({
      issuer: iss,
      rules: [{ id: rule.id, name: rule.name }],
      claims: [
        { name: "sub", value: "build-server-7" },
        { name: "repository_id", value: "1" },
        { name: "/deep/claim", value: "7" },
        { name: "run_id", value: "55" },
        { name: "actor_id", value: "9" },
      ],
    });
  });

  it("tells the audit no more than 200 characters of a claim, and none that a log cannot hold", () => {
    const rule = someRule({ conditions: [{ claim: "iss", equals: iss }] });
    const sub = `a\n\u0000\u2028\u202e${"x".repeat(194)}\u{1f600}`;
    const evidence = trustedBy([rule], { ...good, sub })?.evidence;
    const value = evidence && "claims" in evidence ? evidence.claims[0]?.value : undefined;
    expect(value).toBe(`a\ufffd\ufffd\ufffd\ufffd${"x".repeat(194)}\ufffd`);
  });
});

const values = ["a", "b", "1", "true"];
const scalars = fc.constantFrom<unknown>(...values, 1, 2, true, false, null, ["a"], { a: "a" });
const claimNames = fc.constantFrom("sub", "c", "/deep/d");
const comparisons = fc.oneof(
  fc.constantFrom(...values).map((equals) => ({ equals })),
  fc.constantFrom(1, 2).map((equalsNumber) => ({ equalsNumber })),
  fc.boolean().map((equalsBoolean) => ({ equalsBoolean })),
  fc.subarray(values, { minLength: 1 }).map((equalsAny) => ({ equalsAny })),
  fc.constantFrom("a*", "*", "**").map((glob) => ({ glob })),
);
const conditions: fc.Arbitrary<TrustCondition> = fc
  .tuple(claimNames, comparisons)
  .map(([claim, comparison]) => ({ claim, ...comparison }));
const grants: fc.Arbitrary<Grant> = fc
  .tuple(fc.constantFrom("one.example", "two.example"), fc.option(fc.subarray(["a", "b", "c"], { minLength: 1 })))
  .map(([registry, repositories]) => ({ registry, actions: ["pull"], ...(repositories && { repositories }) }));
const rulesOf: fc.Arbitrary<TrustRule> = fc
  .record({
    id: fc.uuid(),
    issuer: fc.constantFrom(iss, "https://other.example.com"),
    audience: fc.constantFrom(audience, "other"),
    conditions: fc.array(conditions, { maxLength: 3 }),
    grants: fc.array(grants, { minLength: 1, maxLength: 3 }),
    maxTtlSeconds: fc.option(fc.integer({ min: 60, max: 1_000 }), { nil: undefined }),
    singleUse: fc.boolean(),
  })
  .map(({ maxTtlSeconds, ...parts }) => someRule({ ...parts, ...(maxTtlSeconds !== undefined && { maxTtlSeconds }) }));
const claimSets = fc
  .record({
    sub: scalars,
    c: scalars,
    d: scalars,
    aud: fc.constantFrom<unknown>(audience, [audience], "other", [audience, "other"]),
  })
  .map(({ sub, c, d, aud }) => ({ iss, aud, sub, c, deep: { d } }));

describe("matching, whatever the rules and the claims,", () => {
  it("grants no line, and no life, that a single matching rule does not grant", () => {
    fc.assert(
      fc.property(fc.array(rulesOf, { maxLength: 5 }), claimSets, (rules, claims) => {
        const trusted = trustedBy(rules, claims);
        const alone = rules.flatMap((rule) => trustedBy([rule], claims) ?? []);
        for (const grant of trusted?.grants ?? []) {
          const givers = alone.filter((one) => one.grants.includes(grant));
          const longest = Math.max(...givers.map(({ maxTtlSeconds }) => maxTtlSeconds ?? Number.POSITIVE_INFINITY));
          expect(givers).not.toEqual([]);
          expect(trusted?.maxTtlSeconds ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(longest);
        }
        expect(trusted === undefined).toBe(alone.length === 0);
        expect(trusted?.singleUse ?? false).toBe(alone.some(({ singleUse }) => singleUse));
      }),
      { numRuns: 2_000 },
    );
  });

  it("is never widened by one more condition", () => {
    fc.assert(
      fc.property(fc.array(rulesOf, { minLength: 1, maxLength: 4 }), conditions, claimSets, (rules, more, claims) => {
        const [first, ...others] = rules;
        if (!first) return;
        // A rule without conditions matches nobody: it cannot be made, and one more condition makes it a rule.
        fc.pre(first.conditions.length > 0);
        const narrower = [{ ...first, conditions: [...first.conditions, more] }, ...others];
        const before = new Set(matchRules(rules, claims).map(({ id }) => id));
        for (const { id } of matchRules(narrower, claims)) expect(before).toContain(id);
      }),
      { numRuns: 2_000 },
    );
  });

  it("does not depend on the order of the rules", () => {
    fc.assert(
      fc.property(fc.array(rulesOf, { maxLength: 4 }), claimSets, (rules, claims) => {
        const ids = (of: readonly TrustRule[]) => matchRules(of, claims).map(({ id }) => id);
        expect(new Set(ids(rules.toReversed()))).toEqual(new Set(ids(rules)));
      }),
    );
  });
});
