import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { KeySets, type KeySource } from "../../../../src/identity/trust-rules/key-sets.js";

import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, type Outbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import { newSigningKey, startTestIssuers, type TestIssuer, type TestIssuers } from "../../../support/oidc-issuer.js";

const host = "idp.example.test";
const minuteMs = 60_000;

let issuers: TestIssuers;
let issuer: TestIssuer;
let outbound: Outbound;
let keySets: KeySets;
let nowMs: number;
let failures: string[];

beforeAll(async () => {
  issuers = await startTestIssuers([host]);
  issuer = issuers.of(host);
  outbound = createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(issuers.connectTo).rules,
    caCertificates: [issuers.caPem],
    // The pause of a failing host would hide what is tested here.
    circuit: { ...outboundDefaults.circuit, failureLimit: 1_000 },
  });
});
afterAll(async () => {
  await outbound.close();
  await issuers.close();
});
beforeEach(() => {
  nowMs = Date.now();
  failures = [];
  issuer.endpoint.heal();
  issuer.endpoint.forget();
  issuer.discovery = {};
  issuer.rotate();
  keySets = new KeySets({ outbound, nowMs: () => nowMs, onFailure: ({ source }) => failures.push(source) });
  return () => keySets.close();
});

const discovery: KeySource = { kind: "discovery", issuer: `https://${host}` };
const find = (kid: string | undefined = issuer.key.kid, factoryId = "factory", source: KeySource = discovery) =>
  keySets.find({ factoryId, source }, { kid, algorithm: "RS256" });
const revision = (factoryId = "factory") => keySets.revisionOf({ factoryId, source: `discovery https://${host}` });

const found = expect.objectContaining({ key: expect.anything() });

describe("the keys of an issuer", () => {
  it("are fetched once, by discovery, however many ask at the same time", async () => {
    const hold = issuer.endpoint.hold();
    const asking = Array.from({ length: 50 }, () => find());
    await issuer.endpoint.received(1);
    hold.release();
    expect(await Promise.all(asking)).toEqual(asking.map(() => found));
    expect(await find()).toEqual(found);
    expect(issuer.fetches()).toBe(1);
  });

  it("are fetched for each factory apart", async () => {
    await find();
    issuer.rotate();
    expect(await find(issuer.key.kid, "another")).toEqual(found);
    expect(await find()).toBe("key-unknown");
    expect(issuer.fetches()).toBe(2);
  });

  it("are kept by the configured source, and never by the issuer's name alone", async () => {
    const other = newSigningKey("RS256", issuer.key.kid);
    const pasted: KeySource = { kind: "pasted", jwks: JSON.stringify({ keys: [other.jwk] }) };
    const byUrl: KeySource = { kind: "url", url: `https://${host}/jwks` };
    const keys = [await find(), await find(issuer.key.kid, "factory", pasted), await find(undefined, "factory", byUrl)];
    expect(keys).toEqual([found, found, found]);
    expect(new Set(keys.map((one) => typeof one === "object" && one.revision)).size).toBe(2);
    expect(issuer.fetches()).toBe(2);
  });

  it("that are pasted need no issuer, and never grow old", async () => {
    const pasted: KeySource = { kind: "pasted", jwks: JSON.stringify({ keys: [issuer.key.jwk] }) };
    expect(await find(issuer.key.kid, "factory", pasted)).toEqual(found);
    nowMs += 1_000 * minuteMs;
    expect(await find(issuer.key.kid, "factory", pasted)).toEqual(found);
    expect(issuer.endpoint.requests).toEqual([]);
  });
});

describe("a key that is not known", () => {
  it("is asked for at most every 30 s", async () => {
    await find();
    issuer.rotate();
    expect(await find()).toBe("key-unknown");
    nowMs += 29_000;
    expect(await find()).toBe("key-unknown");
    expect(issuer.fetches()).toBe(1);
    nowMs += 1_000;
    expect(await Promise.all([find(), find("made-up"), find()])).toEqual([found, "key-unknown", found]);
    expect(issuer.fetches()).toBe(2);
  });

  it("that was withdrawn is refused as soon as the next set is here", async () => {
    await find();
    const old = issuer.key.kid;
    issuer.rotate();
    nowMs += 30_000;
    await find();
    expect(await find(old)).toBe("key-unknown");
  });
});

describe("key sets in use", () => {
  it("are fetched again in the background after ten minutes, without a token that asks for it", async () => {
    await find();
    const before = revision();
    issuer.rotate();
    nowMs += 9 * minuteMs;
    keySets.refresh();
    nowMs += minuteMs;
    keySets.refresh();
    await expect.poll(() => revision()).not.toBe(before);
    expect(issuer.fetches()).toBe(2);
    expect(await find()).toEqual(found);
    expect(issuer.fetches()).toBe(2);
  });

  it("are not fetched any more an hour after the last use", async () => {
    await find();
    nowMs += 61 * minuteMs;
    keySets.refresh();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(issuer.fetches()).toBe(1);
    expect(await find()).toEqual(found);
    expect(issuer.fetches()).toBe(2);
  });

  it("keep their revision, and their keys, when nothing changed", async () => {
    const first = await find();
    nowMs += 10 * minuteMs;
    keySets.refresh();
    await expect.poll(() => issuer.fetches()).toBe(2);
    expect(await find()).toEqual(first);
  });
});

describe("an issuer that is out of order", () => {
  it("is survived for an hour, counted from the last success, and not for longer", async () => {
    await find();
    issuer.endpoint.fail("server-error");
    for (let minute = 10; minute < 60; minute += 10) {
      nowMs += 10 * minuteMs;
      keySets.refresh();
      await expect.poll(() => failures.length).toBe(minute / 10);
      expect(await find()).toEqual(found);
    }
    nowMs += 10 * minuteMs - 1;
    expect(await find()).toEqual(found);
    nowMs += 1;
    expect(revision()).toBeUndefined();
    expect(await find()).toBe("issuer-unreachable");
    issuer.endpoint.heal();
    nowMs += 10_000;
    expect(await find()).toEqual(found);
  });

  it("is asked at most every 10 s, so that nobody waits for it again and again", async () => {
    issuer.endpoint.fail("drop");
    expect(await Promise.all([find(), find()])).toEqual(["issuer-unreachable", "issuer-unreachable"]);
    expect(await find()).toBe("issuer-unreachable");
    expect(failures).toHaveLength(1);
    nowMs += 10_000;
    expect(await find()).toBe("issuer-unreachable");
    expect(failures).toHaveLength(2);
  });

  it.each(["garbage", "empty-object", "huge", "half"] as const)(
    "is not believed when its answer is %s",
    async (fault) => {
      issuer.endpoint.fail(fault);
      expect(await find()).toBe("issuer-unreachable");
    },
  );

  it.each([
    ["the discovery document of another issuer", { issuer: "https://idp.example.test.evil.example" }],
    ["an issuer with a slash at its end", { issuer: `https://${host}/` }],
    ["keys that are fetched without TLS", { jwks_uri: `http://${host}/jwks` }],
    ["keys on an address inside", { jwks_uri: "https://169.254.169.254/latest" }],
    ["keys in a file", { jwks_uri: "file:///etc/hosts" }],
    ["no address of keys", { jwks_uri: undefined }],
  ])("is not believed with %s", async (_what, discovered) => {
    issuer.discovery = discovered;
    expect(await find()).toBe("issuer-unreachable");
    expect(issuer.fetches()).toBe(0);
  });

  it("is not believed with more than a hundred keys", async () => {
    issuer.keys = Array.from({ length: 101 }, (_, kid) => ({ kty: "EC", kid: String(kid) }));
    expect(await find()).toBe("issuer-unreachable");
  });
});

describe("a key is taken for a token", () => {
  const withKeys = (keys: Record<string, unknown>[]) => {
    issuer.keys = keys;
  };

  it("without a kid when exactly one fits", async () => {
    withKeys([issuer.key.jwk, newSigningKey("ES256").jwk, { kty: "oct", k: "AAAA" }]);
    expect(await keySets.find({ factoryId: "f", source: discovery }, { kid: undefined, algorithm: "RS256" })).toEqual(
      found,
    );
  });

  it("and not when two fit", async () => {
    withKeys([issuer.key.jwk, newSigningKey("RS256").jwk]);
    expect(await keySets.find({ factoryId: "f", source: discovery }, { kid: undefined, algorithm: "RS256" })).toBe(
      "key-unknown",
    );
  });

  it.each<[string, () => Record<string, unknown>[]]>([
    ["stands twice", () => [issuer.key.jwk, newSigningKey("RS256", issuer.key.kid).jwk]],
    [
      "stands twice, once for encryption",
      () => [issuer.key.jwk, { ...newSigningKey("RS256", issuer.key.kid).jwk, use: "enc" }],
    ],
    ["is for encryption", () => [{ ...issuer.key.jwk, use: "enc" }]],
    ["is for another algorithm", () => [{ ...issuer.key.jwk, alg: "PS256" }]],
    ["may not verify", () => [{ ...issuer.key.jwk, key_ops: ["encrypt"] }]],
    [
      "is published with its private half",
      () => [{ ...issuer.key.privateKey.export({ format: "jwk" }), kid: issuer.key.kid }],
    ],
    ["is of another type", () => [newSigningKey("ES256", issuer.key.kid).jwk].map(({ alg: _alg, ...jwk }) => jwk)],
    ["is a shared secret", () => [{ kty: "oct", k: "bm90LWEtcmVhbC1zZWNyZXQ", kid: issuer.key.kid }]],
    ["is weak", () => [newSigningKey("RS256", issuer.key.kid, 1_024).jwk]],
    ["has an exponent of one", () => [{ ...issuer.key.jwk, e: "AQ" }]],
    ["is no key", () => [{ kty: "RSA", kid: issuer.key.kid }]],
  ])("and not when it %s", async (_what, keys) => {
    withKeys(keys());
    expect(await find()).toBe("key-unknown");
  });
});
