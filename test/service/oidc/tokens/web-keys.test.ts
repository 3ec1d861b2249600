import { describe, expect, it } from "vitest";
import { findKey, parseKeySet } from "../../../../src/identity/trust-rules/web-keys.js";
import { newSigningKey } from "../../../support/oidc-issuer.js";

const { jwk } = newSigningKey("RS256", "good");
const wanted = { kid: "good", algorithm: "RS256" } as const;
const parse = (...keys: unknown[]) => parseKeySet(JSON.stringify({ keys, unknown: 5 }));

describe("a key set", () => {
  it.each<[string, unknown]>([
    ["a key without kty", { kid: "x", use: "sig" }],
    ["a kty of null", { ...jwk, kid: "x", kty: null }],
    ["a kty that is not known", { kty: "AKP", kid: "x", alg: "ML-DSA-44", pub: "AA" }],
    ["a numeric kid", { ...jwk, kid: 7 }],
    ["key_ops as text", { ...jwk, kid: "x", key_ops: "verify" }],
    ["a use that is a list", { ...jwk, kid: "x", use: ["sig"] }],
    ["an alg that is a number", { ...jwk, kid: "x", alg: 256 }],
    ["a modulus that is a number", { ...jwk, kid: "x", n: 65_537 }],
    ["no exponent", { ...jwk, kid: "x", e: undefined }],
    ["an EC key without a point", { kty: "EC", crv: "P-256", kid: "x" }],
    ["a shared key", { kty: "oct", kid: "x" }],
    ["null", null],
    ["text", "key"],
    ["a list", [jwk]],
  ])("with %s beside a good key still verifies by the good one", async (_, odd) => {
    const set = parse(odd, jwk);
    expect(set?.ignored).toMatchObject([{ at: "/keys/0", reason: expect.any(String) }]);
    expect(set && (await findKey(set, wanted))).toBeDefined();
  });

  it.each([{ use: null }, { use: "" }, { alg: null }, { key_ops: null }, { x5c: 5 }, { x5t: null, x5u: {} }])(
    "whose key has %j verifies by it",
    async (members) => {
      const set = parse({ ...jwk, ...members });
      expect(set?.ignored).toEqual([]);
      expect(set && (await findKey(set, wanted))).toBeDefined();
    },
  );

  it("verifies nothing by a key whose restrictions cannot be read, or whose private half is in it", async () => {
    for (const members of [
      { use: 5 },
      { use: "SIG" },
      { use: "tls" },
      { alg: "rs256" },
      { key_ops: "sign" },
      { alg: {} },
      { d: null },
      { d: "AA" },
    ]) {
      const set = parse({ ...jwk, ...members });
      expect(set?.ignored).toHaveLength(1);
      expect(set && (await findKey(set, wanted))).toBeUndefined();
    }
  });

  it("may begin with a byte order mark", async () => {
    const set = parseKeySet(`\uFEFF${JSON.stringify({ keys: [jwk] })}`);
    expect(set && (await findKey(set, wanted))).toBeDefined();
  });
});
