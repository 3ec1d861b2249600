import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Certificate,
  isStrongKey,
  keyUsages,
  readCertificate,
} from "../../../src/identity/devices/certificate.js";
import { readNewAuthority } from "../../../src/identity/devices/read-authority.js";
import { verifyChain } from "../../../src/identity/devices/verify-chain.js";
import { makeIntermediate, makeRoot } from "../../support/devices/device-certificates.js";
import { watchTurns } from "../../support/longest-hold.js";

const mostMs = 20;
/** What OpenSSL takes for a signature of RSA-8192, on a slow core. */
const signatureMs = 1;

const spin = (ms: number): void => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};

let template: Certificate;
beforeAll(async () => {
  const read = readCertificate(Buffer.from((await makeRoot()).certificate.rawData));
  if (!read) throw new Error("a certificate");
  template = read;
});

let verified = 0;
/** A CA, or a device, that takes as long to verify as the most costly key does. */
function certificate(name: string, issuer: string, is: { signed?: boolean; ca?: boolean } = {}): Certificate {
  return {
    ...template,
    fingerprint: randomBytes(32).toString("hex"),
    subjectHash: name,
    issuerHash: issuer,
    subjectKeyId: undefined,
    authorityKeyId: undefined,
    isCa: is.ca ?? true,
    pathLength: undefined,
    keyUsage: is.ca === false ? keyUsages.digitalSignature : undefined,
    isSignedBy: () => {
      spin(signatureMs);
      verified += 1;
      return is.signed ?? true;
    },
  };
}

async function longestTurnMs(work: () => Promise<unknown>): Promise<number> {
  const stop = watchTurns();
  await work();
  await new Promise(setImmediate);
  return stop();
}

describe("a certificate that can be reached in many ways", () => {
  const now = new Date();
  const rest = { intermediates: [], revocationLists: [], allowStaleRevocationLists: false };

  it("is verified in slices, each signature once", async () => {
    const anchor = { ...rest, root: certificate("ca", "ca") };
    const presented = Array.from({ length: 15 }, () => certificate("ca", "ca"));
    const leaf = certificate("device", "ca", { signed: false, ca: false });
    verified = 0;
    const ms = await longestTurnMs(async () => {
      const verdict = await verifyChain(anchor, { leaf, presented, now });
      expect(verdict).toMatchObject({ ok: false, reason: "bad-signature" });
    });
    expect(verified).toBeGreaterThan(16);
    expect(verified).toBeLessThanOrEqual(16 * 5);
    expect(ms).toBeLessThan(mostMs);
  });

  it("is refused soon where none of the ways leads to the root", async () => {
    const anchor = { ...rest, root: certificate("root", "root") };
    const presented = Array.from({ length: 15 }, () => certificate("ca", "ca"));
    const leaf = certificate("device", "ca", { ca: false });
    const ms = await longestTurnMs(async () => {
      const verdict = await verifyChain(anchor, { leaf, presented, now });
      expect(verdict).toEqual({ ok: false, reason: "unknown-authority", isGenuine: false });
    });
    expect(ms).toBeLessThan(mostMs);
  });
});

describe("a key of RSA", () => {
  const withExponent = (bits: number, exponent: Buffer): KeyObject => {
    const modulus = randomBytes(bits / 8);
    modulus[0] = 0x80 | (modulus[0] ?? 0);
    modulus[modulus.length - 1] = 1 | (modulus[modulus.length - 1] ?? 0);
    const text = (bytes: Buffer) => bytes.toString("base64url");
    return createPublicKey({ format: "jwk", key: { kty: "RSA", n: text(modulus), e: text(exponent) } });
  };

  it.each([
    ["3", [3], true],
    ["65537", [1, 0, 1], true],
    ["2^32-1", [0xff, 0xff, 0xff, 0xff], true],
    ["1, for which every signature is its own message", [1], false],
    ["2^32+1", [1, 0, 0, 0, 1], false],
    ["as many bits as its modulus", [...randomBytes(383), 1], false],
  ])("with the exponent %s", (_, exponent, isStrong) => {
    expect(isStrongKey(withExponent(3072, Buffer.from(exponent)))).toBe(isStrong);
  });
});

it("no signature of a bundle is verified with a weak key", async () => {
  const algorithm = {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 1024,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  };
  const root = await makeRoot(undefined, { algorithm });
  const intermediate = await makeIntermediate(root);
  await expect(readNewAuthority(`${intermediate.pem}\n${root.pem}`, new Date())).rejects.toThrow(
    `${root.certificate.subject} is weak`,
  );
});
