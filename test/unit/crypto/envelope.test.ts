import { createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  claimedDataKeyId,
  EnvelopeError,
  fingerprint,
  keyCheckValue,
  keyEncryptionKeyId,
  openSecret,
  sealSecret,
  sealSecretWithNonce,
  unwrapDataKey,
  unwrapSigningKey,
  wrapDataKey,
  wrapDataKeyWithNonce,
  wrapSigningKey,
  wrapSigningKeyWithNonce,
} from "../../../src/crypto/envelope.js";
import { dataKeyOf, vectors, vectorsText } from "./envelope-vectors.js";

const { keyEncryptionKey, factoryId, secretId } = vectors;
const sealing = dataKeyOf("secret");
const dataKey = { id: sealing.id, bytes: sealing.key };
const placeOf = (version: number) => ({ factoryId, secretId, version });
const wrapPlaceOf = ({ id, purpose }: (typeof vectors.dataKeys)[number]) => ({
  factoryId,
  dataKeyId: id,
  purpose,
  keyEncryptionKeyId: keyEncryptionKey.id,
});

const signingKeyPlace = {
  signingKeyId: vectors.signingKey.id,
  purpose: vectors.signingKey.purpose,
  alg: vectors.signingKey.alg,
  keyEncryptionKeyId: keyEncryptionKey.id,
};

/** Opens a box by nothing but Node's AES-GCM and the associated data that the vectors state. */
function openByHand(key: Buffer, nonce: Buffer, associatedData: Buffer, box: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(box.subarray(-16));
  return Buffer.concat([decipher.update(box.subarray(0, -16)), decipher.final()]);
}

/** What a refusal looks like from outside; every refusal must look like every other. */
function refusalOf(open: () => unknown) {
  try {
    open();
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    return { name: error.name, message: error.message, cause: error.cause, own: Object.keys(error).sort() };
  }
  return "opened";
}

const refused = {
  name: "EnvelopeError",
  message: "the ciphertext does not open here",
  cause: undefined,
  own: ["name"],
};

describe("the pinned test vectors", () => {
  test("docs/envelope.md quotes them as they are", () => {
    const document = readFileSync(new URL("../../../docs/envelope.md", import.meta.url), "utf8");
    expect(document).toContain(`\`\`\`json\n${vectorsText}\`\`\``);
  });

  test("the key-encryption key has the pinned id and check value", () => {
    expect(keyEncryptionKeyId(keyEncryptionKey.key)).toBe(keyEncryptionKey.id);
    expect(keyCheckValue(keyEncryptionKey.key)).toEqual(keyEncryptionKey.checkValue);
  });

  test.each(vectors.dataKeys)("the data key for $purpose is wrapped and unwrapped to the byte", (vector) => {
    const { key, nonce, associatedData, wrapped } = vector;
    expect(wrapDataKeyWithNonce(keyEncryptionKey.key, wrapPlaceOf(vector), key, nonce)).toEqual(wrapped);
    expect(unwrapDataKey(keyEncryptionKey.key, wrapPlaceOf(vector), wrapped)).toEqual(key);
    expect(openByHand(keyEncryptionKey.key, nonce, associatedData, wrapped.subarray(13))).toEqual(key);
  });

  test("the signing key is wrapped and unwrapped to the byte", () => {
    const { key, nonce, associatedData, wrapped } = vectors.signingKey;
    expect(wrapSigningKeyWithNonce(keyEncryptionKey.key, signingKeyPlace, key, nonce)).toEqual(wrapped);
    expect(unwrapSigningKey(keyEncryptionKey.key, signingKeyPlace, wrapped)).toEqual(key);
    expect(openByHand(keyEncryptionKey.key, nonce, associatedData, wrapped.subarray(13))).toEqual(key);
  });

  test.each(vectors.secrets)("$what is sealed, opened and fingerprinted to the byte", (vector) => {
    const { version, value, nonce, associatedData, sealed } = vector;
    expect(sealSecretWithNonce(dataKey, placeOf(version), value, nonce)).toEqual(sealed);
    expect(openSecret(dataKey, placeOf(version), sealed)).toEqual(value);
    expect(claimedDataKeyId(sealed)).toBe(sealing.id);
    expect(openByHand(sealing.key, nonce, associatedData, sealed.subarray(29))).toEqual(value);
    expect(fingerprint(dataKeyOf("fingerprint").key, value)).toEqual(vector.fingerprint);
  });
});

describe("a sealed value", () => {
  const value = Buffer.from("not-a-real-secret-2\n");
  const place = placeOf(3);
  const sealed = sealSecret(dataKey, place, value);

  test("opens in its place, whatever its bytes and its length", () => {
    for (const length of [1, 15, 16, 17, 65_536]) {
      const bytes = randomBytes(length);
      expect(openSecret(dataKey, place, sealSecret(dataKey, place, bytes)).equals(bytes)).toBe(true);
    }
  });

  test("is never the same twice", () => {
    const nonces = Array.from({ length: 200 }, () =>
      sealSecret(dataKey, place, value).subarray(17, 29).toString("hex"),
    );
    expect(new Set(nonces).size).toBe(200);
  });

  test("is refused with any one bit flipped", () => {
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      expect(refusalOf(() => openSecret(dataKey, place, withBitFlipped(sealed, bit)))).toEqual(refused);
    }
  });

  test("is refused truncated to any length, and with a byte more", () => {
    for (let length = 0; length < sealed.length; length += 1) {
      expect(refusalOf(() => openSecret(dataKey, place, sealed.subarray(0, length)))).toEqual(refused);
    }
    expect(refusalOf(() => openSecret(dataKey, place, Buffer.concat([sealed, Buffer.of(0)])))).toEqual(refused);
  });

  test.each([
    ["another factory", { ...place, factoryId: randomUUID() }],
    ["another secret", { ...place, secretId: randomUUID() }],
    ["another version", { ...place, version: 4 }],
    ["factory and secret exchanged", { ...place, factoryId: secretId, secretId: factoryId }],
  ])("is refused when moved to %s", (_where, elsewhere) => {
    expect(refusalOf(() => openSecret(dataKey, elsewhere, sealed))).toEqual(refused);
  });

  test("is refused by another data key, under its own id or this one's", () => {
    const bytes = randomBytes(32);
    expect(refusalOf(() => openSecret({ id: randomUUID(), bytes }, place, sealed))).toEqual(refused);
    expect(refusalOf(() => openSecret({ id: dataKey.id, bytes }, place, sealed))).toEqual(refused);
  });

  test("is refused under another name of the same key bytes", () => {
    const renamed = Buffer.from(sealed);
    const id = "cccccccc-dddd-4eee-8fff-000000000000";
    Buffer.from(id.replaceAll("-", ""), "hex").copy(renamed, 1);
    expect(refusalOf(() => openSecret({ id, bytes: dataKey.bytes }, place, renamed))).toEqual(refused);
  });
});

describe("a wrapped data key", () => {
  const place = wrapPlaceOf(sealing);
  const wrapped = wrapDataKey(keyEncryptionKey.key, place, sealing.key);

  test("is refused with any one bit flipped, truncated to any length, and with a byte more", () => {
    for (let bit = 0; bit < wrapped.length * 8; bit += 1) {
      expect(refusalOf(() => unwrapDataKey(keyEncryptionKey.key, place, withBitFlipped(wrapped, bit)))).toEqual(
        refused,
      );
    }
    for (let length = 0; length < wrapped.length; length += 1) {
      expect(refusalOf(() => unwrapDataKey(keyEncryptionKey.key, place, wrapped.subarray(0, length)))).toEqual(refused);
    }
    const longer = Buffer.concat([wrapped, Buffer.of(0)]);
    expect(refusalOf(() => unwrapDataKey(keyEncryptionKey.key, place, longer))).toEqual(refused);
  });

  test.each([
    ["another factory", { ...place, factoryId: randomUUID() }],
    ["another data key id", { ...place, dataKeyId: randomUUID() }],
    ["the other purpose", { ...place, purpose: "fingerprint" as const }],
    ["another key-encryption key id", { ...place, keyEncryptionKeyId: "kek-0000000000000000" }],
    ["factory and data key exchanged", { ...place, factoryId: place.dataKeyId, dataKeyId: place.factoryId }],
  ])("is refused when moved to %s", (_where, elsewhere) => {
    expect(refusalOf(() => unwrapDataKey(keyEncryptionKey.key, elsewhere, wrapped))).toEqual(refused);
  });

  test("is refused by another key-encryption key", () => {
    expect(refusalOf(() => unwrapDataKey(randomBytes(32), place, wrapped))).toEqual(refused);
  });

  test("does not open as a secret, nor a secret as a data key", () => {
    const sealed = sealSecret(dataKey, placeOf(1), sealing.key);
    expect(refusalOf(() => openSecret(dataKey, placeOf(1), wrapped))).toEqual(refused);
    const cut = Buffer.concat([sealed.subarray(0, 1), sealed.subarray(17)]);
    expect(refusalOf(() => unwrapDataKey(dataKey.bytes, place, cut))).toEqual(refused);
  });
});

describe("a wrapped signing key", () => {
  const place = signingKeyPlace;
  const wrapped = wrapSigningKey(keyEncryptionKey.key, place, Buffer.from("not-a-real-private-key"));

  test("is refused with any one bit flipped, truncated to any length, and with a byte more", () => {
    const unwrap = (bytes: Buffer) => refusalOf(() => unwrapSigningKey(keyEncryptionKey.key, place, bytes));
    for (let bit = 0; bit < wrapped.length * 8; bit += 1) expect(unwrap(withBitFlipped(wrapped, bit))).toEqual(refused);
    for (let length = 0; length < wrapped.length; length += 1)
      expect(unwrap(wrapped.subarray(0, length))).toEqual(refused);
    expect(unwrap(Buffer.concat([wrapped, Buffer.of(0)]))).toEqual(refused);
  });

  test.each([
    ["another id", { ...place, signingKeyId: "another" }],
    ["another purpose", { ...place, purpose: "federation" }],
    ["another algorithm", { ...place, alg: "RS256" }],
    ["another key-encryption key id", { ...place, keyEncryptionKeyId: "kek-0000000000000000" }],
    ["id and algorithm exchanged", { ...place, signingKeyId: place.alg, alg: place.signingKeyId }],
  ])("is refused when moved to %s", (_where, elsewhere) => {
    expect(refusalOf(() => unwrapSigningKey(keyEncryptionKey.key, elsewhere, wrapped))).toEqual(refused);
  });

  test("is refused by another key-encryption key, and as a data key", () => {
    expect(refusalOf(() => unwrapSigningKey(randomBytes(32), place, wrapped))).toEqual(refused);
    expect(refusalOf(() => unwrapDataKey(keyEncryptionKey.key, wrapPlaceOf(sealing), wrapped))).toEqual(refused);
  });
});

test("a fingerprint tells equal values of one factory, and of no two factories", () => {
  const [one, other] = [randomBytes(32), randomBytes(32)];
  const value = Buffer.from("not-a-real-secret-3");
  expect(fingerprint(one, value)).toEqual(fingerprint(one, Buffer.from(value)));
  expect(fingerprint(one, value)).not.toEqual(fingerprint(other, value));
  expect(fingerprint(one, value)).not.toEqual(fingerprint(one, Buffer.from("not-a-real-secret-4")));
});

function withBitFlipped(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes);
  const index = bit >> 3;
  flipped[index] = (flipped[index] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}
