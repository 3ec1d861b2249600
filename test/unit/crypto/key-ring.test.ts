import { randomBytes, randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { EnvelopeError } from "../../../src/crypto/envelope.js";
import { type KeyEncryptionKey, localKeyEncryptionKey } from "../../../src/crypto/key-encryption-key.js";
import { KeyRing } from "../../../src/crypto/key-ring.js";

const newKey = () => localKeyEncryptionKey("env:KEY", randomBytes(32));
const ringOf = (active: KeyEncryptionKey, ...others: KeyEncryptionKey[]) =>
  new KeyRing([active, ...others], () => knownOf(active));
const knownOf = async (key: KeyEncryptionKey) => ({ id: key.id, checkValue: await key.createCheckValue() });
const factoryId = randomUUID();

test("a new data key is wrapped by the active key and opens again", async () => {
  const active = newKey();
  const ring = ringOf(active, newKey());
  const wrapped = await ring.createDataKey(factoryId, "secret");
  expect(wrapped).toMatchObject({ purpose: "secret", keyEncryptionKeyId: active.id });
  const { id, bytes } = await ring.unwrap(factoryId, wrapped);
  expect(id).toBe(wrapped.id);
  expect(bytes).toHaveLength(32);
});

test("two data keys are never the same", async () => {
  const ring = ringOf(newKey());
  const [one, other] = await Promise.all([
    ring.createDataKey(factoryId, "secret"),
    ring.createDataKey(factoryId, "secret"),
  ]);
  const opened = await Promise.all([ring.unwrap(factoryId, one), ring.unwrap(factoryId, other)]);
  expect(opened[0].bytes.equals(opened[1].bytes)).toBe(false);
});

test("a data key of an older key-encryption key opens while that key is on the ring", async () => {
  const [older, active] = [newKey(), newKey()];
  const wrapped = await ringOf(older).createDataKey(factoryId, "secret");
  await expect(ringOf(active, older).unwrap(factoryId, wrapped)).resolves.toMatchObject({ id: wrapped.id });
  await expect(ringOf(active).unwrap(factoryId, wrapped)).rejects.toMatchObject({ code: "key-unavailable" });
});

test("a data key does not open for another factory, id, purpose or key-encryption key", async () => {
  const [active, other] = [newKey(), newKey()];
  const ring = ringOf(active, other);
  const wrapped = await ring.createDataKey(factoryId, "secret");
  const moved = [
    ring.unwrap(randomUUID(), wrapped),
    ring.unwrap(factoryId, { ...wrapped, id: randomUUID() }),
    ring.unwrap(factoryId, { ...wrapped, purpose: "fingerprint" }),
    ring.unwrap(factoryId, { ...wrapped, keyEncryptionKeyId: other.id }),
  ];
  for (const unwrapping of moved) await expect(unwrapping).rejects.toThrow(new EnvelopeError());
});

test("a signing key opens under the key-encryption key that wrapped it, as what it was wrapped as", async () => {
  const [older, active] = [newKey(), newKey()];
  const privateKey = Buffer.from("not-a-real-private-key");
  const key = { id: "a-key", purpose: "api-access", alg: "ES256" };
  const wrapped = await ringOf(older).wrapSigningKey(key, privateKey);
  expect(wrapped.keyEncryptionKeyId).toBe(older.id);
  await expect(ringOf(active, older).unwrapSigningKey(wrapped)).resolves.toEqual(privateKey);
  await expect(ringOf(active).unwrapSigningKey(wrapped)).rejects.toMatchObject({ code: "key-unavailable" });
  const elsewhere = [
    ringOf(older).unwrapSigningKey({ ...wrapped, id: "another" }),
    ringOf(older).unwrapSigningKey({ ...wrapped, purpose: "federation" }),
  ];
  for (const unwrapping of elsewhere) await expect(unwrapping).rejects.toThrow(new EnvelopeError());
});

test("every key that is wrapped is wrapped by the one that is active just then", async () => {
  const [older, newer] = [newKey(), newKey()];
  let active = await knownOf(older);
  const ring = new KeyRing([older, newer], async () => active);
  expect((await ring.createDataKey(factoryId, "secret")).keyEncryptionKeyId).toBe(older.id);
  active = await knownOf(newer);
  expect((await ring.createDataKey(factoryId, "secret")).keyEncryptionKeyId).toBe(newer.id);
  active = { ...active, id: "kek-0000000000000000" };
  await expect(ring.createDataKey(factoryId, "secret")).rejects.toMatchObject({ code: "key-unavailable", status: 503 });
});

test("another key at the address of the active one wraps nothing, and has a problem until the right one is back", async () => {
  const [right, other] = [newKey(), newKey()];
  let answers = right;
  const remote: KeyEncryptionKey = {
    ...right,
    isRemote: true,
    wrap: (place, bytes) => answers.wrap(place, bytes),
    unwrap: (place, wrapped) => answers.unwrap(place, wrapped),
    fitsCheckValue: (stored) => answers.fitsCheckValue(stored),
  };
  const ring = new KeyRing([remote], () => knownOf(right));
  const wrapped = await ring.createDataKey(factoryId, "secret");
  answers = other;
  await expect(ring.createDataKey(factoryId, "secret")).rejects.toMatchObject({
    code: "key-unavailable",
    detail: expect.stringContaining("is another one than was added"),
    cause: { message: expect.stringContaining(`than the one that was added as ${right.id}`) },
  });
  await expect(ring.unwrap(factoryId, wrapped)).rejects.toMatchObject({ code: "key-unavailable" });
  expect(ring.problemOf(right.id)).toMatch(/another key now/);
  answers = right;
  await ring.createDataKey(factoryId, "secret");
  expect(ring.problemOf(right.id)).toBeUndefined();
  await expect(ring.unwrap(factoryId, wrapped)).resolves.toMatchObject({ id: wrapped.id });
});

test("what does not unwrap to the same bytes at once is not given out as wrapped", async () => {
  const key = newKey();
  const spoiling: [string, Partial<KeyEncryptionKey>][] = [
    ["bytes of something else", { unwrap: async () => randomBytes(32) }],
    ["a ciphertext that does not open", { wrap: async () => randomBytes(61) }],
  ];
  for (const [, spoilt] of spoiling) {
    const ring = ringOf({ ...key, ...spoilt });
    await expect(ring.createDataKey(factoryId, "secret")).rejects.toMatchObject({
      code: "key-unavailable",
      cause: { message: expect.stringContaining("does not unwrap what it has wrapped") },
    });
  }
});
