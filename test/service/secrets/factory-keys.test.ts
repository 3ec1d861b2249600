import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { EnvelopeError } from "../../../src/crypto/envelope.js";
import { KeyUnavailable, localKeyEncryptionKey } from "../../../src/crypto/key-encryption-key.js";
import { KeyRing } from "../../../src/crypto/key-ring.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
let factoryId: string;
beforeAll(async () => {
  service = await startTestService();
  factoryId = (await service.createFactory()).id;
});
afterAll(() => service.close());

// A key-encryption key that can be down, and that counts what it is asked.
let isDown: boolean;
let unwrapped: number;
let nowMs: number;
let answer: Promise<void>;
let damaged: Set<string>;
let keys: FactoryKeys;
beforeEach(() => {
  [isDown, unwrapped, nowMs, answer, damaged] = [false, 0, 0, Promise.resolve(), new Set()];
  const local = localKeyEncryptionKey("env:KEY", Buffer.from(service.key, "base64"));
  const key: typeof local = {
    ...local,
    async unwrap(place, wrapped) {
      unwrapped += 1;
      await answer;
      if (isDown) throw new KeyUnavailable("it is down");
      if (place.kind === "data-key" && damaged.has(place.purpose)) throw new EnvelopeError();
      return local.unwrap(place, wrapped);
    },
  };
  const { prisma } = service.database;
  const ring = new KeyRing([key], async () => ({ id: key.id, checkValue: await key.createCheckValue() }));
  keys = new FactoryKeys({ prisma, keys: ring }, { nowMs: () => nowMs });
});

const minutes = (count: number): number => count * 60_000;

it("asks once for all who ask at the same time, and not again for five minutes", async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => keys.of(factoryId)));
  expect(new Set(all).size).toBe(1);
  nowMs = minutes(4.9);
  await keys.of(factoryId);
  expect(unwrapped).toBe(2);
});

it("asks anew after five minutes, without letting anybody wait", async () => {
  const before = await keys.of(factoryId);
  let release: () => void = () => undefined;
  answer = new Promise((resolve) => {
    release = resolve;
  });
  nowMs = minutes(5);
  expect(await keys.of(factoryId)).toBe(before);
  release();
  await expect.poll(async () => (await keys.of(factoryId)) === before).toBe(false);
  expect(unwrapped).toBe(4);
});

it("serves for ten minutes while the key-encryption key is down, and no longer", async () => {
  const before = await keys.of(factoryId);
  isDown = true;
  for (const minute of [5, 6, 9.99]) {
    nowMs = minutes(minute);
    expect(await keys.of(factoryId)).toBe(before);
    await new Promise((resolve) => setImmediate(resolve));
  }
  nowMs = minutes(10);
  const sealing = keys.of(factoryId).then(({ seal }) => seal);
  await expect(sealing).rejects.toMatchObject({ code: "key-unavailable", status: 503 });
  isDown = false;
  await expect(keys.of(factoryId)).resolves.toMatchObject({ seal: { id: before.seal.id } });
});

it("forgets at once when it is told, also what is just being read", async () => {
  const reading = keys.of(factoryId);
  keys.forget(factoryId);
  await reading;
  await keys.of(factoryId);
  expect(unwrapped).toBe(4);
});

it("reads all anew when something may have been missed: what opens serves on meanwhile, what does not is forgotten", async () => {
  const whole = await keys.of(factoryId);
  keys.doubtAll();
  isDown = true;
  expect(await keys.of(factoryId)).toBe(whole);
  await expect.poll(() => unwrapped).toBe(4);
  await new Promise((resolve) => setImmediate(resolve));
  isDown = false;
  nowMs = 10_000;
  expect(await keys.of(factoryId)).toBe(whole);
  await expect.poll(async () => (await keys.of(factoryId)) === whole).toBe(false);
  keys.forget(factoryId);
  damaged.add("fingerprint");
  await expect(keys.of(factoryId).then(({ fingerprint }) => fingerprint)).rejects.toThrow(/does not open/);
  damaged.clear();
  keys.doubtAll();
  expect((await keys.of(factoryId)).fingerprint.bytes).toHaveLength(32);
});

it("knows no data key that is not there", async () => {
  expect(await keys.find(factoryId, "3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d")).toBeUndefined();
});

it("says that a factory is gone, and makes no key for it", async () => {
  const { id, name } = await service.createFactory();
  await keys.of(id);
  await service.as(service.operatorToken).delete(`/v1/factories/${name}`).expect(204);
  await expect(keys.awsKeys(id)).rejects.toMatchObject({ code: "not-found" });
});

it("gives the keys that open beside one that does not, and looks at that again after ten seconds", async () => {
  damaged.add("fingerprint");
  const some = await keys.of(factoryId);
  expect(some.seal.bytes).toHaveLength(32);
  expect(() => some.fingerprint).toThrow(/key of this factory's fingerprints does not open/);
  damaged.clear();
  nowMs = 9_999;
  expect(await keys.of(factoryId)).toBe(some);
  nowMs = 10_000;
  await keys.of(factoryId);
  await expect.poll(async () => (await keys.of(factoryId)) === some).toBe(false);
  expect((await keys.of(factoryId)).fingerprint.bytes).toHaveLength(32);
});

it("keeps what has opened for its time when it is read again and does not open", async () => {
  const whole = await keys.of(factoryId);
  damaged.add("secret");
  nowMs = minutes(5);
  await keys.of(factoryId);
  await expect.poll(() => unwrapped).toBe(4);
  expect(await keys.of(factoryId)).toBe(whole);
  nowMs = minutes(10);
  const later = await keys.of(factoryId);
  expect(() => later.seal).toThrow(/seals this factory's values does not open/);
});
