import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RuleTerms, type TrustRule } from "../../../../src/identity/trust-rules/contract.js";
import { judgeRule } from "../../../../src/identity/trust-rules/judge-rules.js";
import { KeySets } from "../../../../src/identity/trust-rules/key-sets.js";
import {
  checkIdToken,
  type IdTokenFailure,
  parseIdToken,
} from "../../../../src/identity/trust-rules/verify-id-token.js";

import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, type Outbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import {
  newSigningKey,
  nowSeconds,
  startTestIssuers,
  type TestIssuer,
  type TestIssuers,
} from "../../../support/oidc-issuer.js";

const host = "idp.example.test";
let issuers: TestIssuers;
let issuer: TestIssuer;
let outbound: Outbound;
let keySets: KeySets;
let rule: TrustRule;

beforeAll(async () => {
  issuers = await startTestIssuers([host]);
  issuer = issuers.of(host);
  outbound = createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(issuers.connectTo).rules,
    caCertificates: [issuers.caPem],
  });
  const terms = RuleTerms.parse({
    audience: "https://secrets.example.com",
    conditions: [{ claim: "project_id", equals: "42" }],
    grants: [{ registry: "ghcr.io" }],
  });
  rule = { id: "1", name: "rule", version: 1, issuer: issuer.url, ...terms };
});
afterAll(async () => {
  await outbound.close();
  await issuers.close();
});
beforeEach(() => {
  issuer.endpoint.heal();
  keySets = new KeySets({ outbound, nowMs: Date.now, onFailure: () => undefined });
  return () => keySets.close();
});

function check(token: string) {
  const parsed = parseIdToken(token);
  const verdict = judgeRule(rule, typeof parsed === "string" ? { claims: {} } : parsed);
  return checkIdToken({ keySets, now: () => new Date() }, { factoryId: "factory", verdict }, { token, parsed });
}

describe("what is wrong with a token, for one rule", () => {
  it("is nothing with a good one, whatever its other claims", async () => {
    const token = issuer.sign({ project_id: "of another rule" });
    expect(await check(token)).toMatchObject({ holds: true, claims: { project_id: "of another rule" } });
  });

  it.each<[IdTokenFailure, () => string]>([
    ["malformed", () => "a.b.c"],
    ["malformed", () => issuer.sign({ exp: undefined })],
    ["type", () => issuer.sign({}, { typ: "at+jwt" })],
    ["algorithm", () => issuer.sign({}, { alg: "none" })],
    ["algorithm", () => issuer.sign({}, {}, newSigningKey("ES256"))],
    ["issuer", () => issuer.sign({ iss: `${issuer.url}/` })],
    ["audience", () => issuer.sign({ aud: ["https://secrets.example.com", "another"] })],
    ["audience", () => issuer.sign({ aud: undefined })],
    ["expired", () => issuer.sign({ exp: nowSeconds() })],
    ["not-yet-valid", () => issuer.sign({ nbf: nowSeconds() + 70 })],
    ["too-long-lived", () => issuer.sign({ exp: nowSeconds() + 86_500 })],
    ["key-unknown", () => issuer.sign({}, {}, newSigningKey("RS256"))],
    ["signature", () => issuer.sign({}, {}, newSigningKey("RS256", issuer.key.kid))],
  ])("is told by a code: %s", async (failed, token) => {
    expect(await check(token())).toMatchObject({ holds: false, failed });
  });

  it("is told by a code: issuer-unreachable", async () => {
    issuer.endpoint.fail("drop");
    expect(await check(issuer.sign())).toMatchObject({ holds: false, failed: "issuer-unreachable" });
  });

  it("is nothing with a clock that is a minute off", async () => {
    expect(await check(issuer.sign({ nbf: nowSeconds() + 50, iat: nowSeconds() + 50 }))).toMatchObject({ holds: true });
  });
});
