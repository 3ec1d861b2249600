import { randomBytes, randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { EnvelopeError } from "../../src/crypto/envelope.js";
import { type KeyEncryptionKey, localKeyEncryptionKey } from "../../src/crypto/key-encryption-key.js";
import { KeyRing } from "../../src/crypto/key-ring.js";

const newKey = () => localKeyEncryptionKey("env:KEY", randomBytes(32));
const ringOf = (active: KeyEncryptionKey, ...others: KeyEncryptionKey[]) =>
  new KeyRing([active, ...others], async () => active.id);
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
  let activeId = older.id;
  const ring = new KeyRing([older, newer], async () => activeId);
  expect((await ring.createDataKey(factoryId, "secret")).keyEncryptionKeyId).toBe(older.id);
  activeId = newer.id;
  expect((await ring.createDataKey(factoryId, "secret")).keyEncryptionKeyId).toBe(newer.id);
  activeId = "kek-0000000000000000";
  await expect(ring.createDataKey(factoryId, "secret")).rejects.toMatchObject({ code: "key-unavailable", status: 503 });
});
