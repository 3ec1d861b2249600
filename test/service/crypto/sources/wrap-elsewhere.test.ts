import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { EnvelopeError } from "../../../../src/crypto/envelope.js";
import { type KeyEncryptionKey, type KeyPlace, KeyUnavailable } from "../../../../src/crypto/key-encryption-key.js";
import type { Outbound } from "../../../../src/outbound/outbound.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import {
  addKmsKey,
  keeper,
  kmsKey,
  outboundTo,
  transitToken,
  vaultKey,
} from "../../../support/crypto/sources/key-clouds.js";

let clouds: StandInClouds;
let outbound: Outbound;
beforeAll(async () => {
  clouds = await startStandInClouds();
  outbound = outboundTo(clouds);
  clouds.vault.tokens.add(transitToken);
});
afterAll(async () => {
  await outbound.close();
  await clouds.close();
});
afterEach(() => {
  clouds.aws.kms.heal();
  clouds.vault.endpoint.heal();
  clouds.vault.ignoresAssociatedData = false;
  clouds.vault.sealed = false;
});

const dataKeyPlace = (keyEncryptionKeyId: string) =>
  ({
    ...{ kind: "data-key", purpose: "secret", keyEncryptionKeyId },
    ...{ factoryId: randomUUID(), dataKeyId: randomUUID() },
  }) as const satisfies KeyPlace;
const signingKeyPlace = (keyEncryptionKeyId: string) =>
  ({
    ...{ kind: "signing-key", purpose: "api-access", alg: "ES256" },
    ...{ signingKeyId: "k1", keyEncryptionKeyId },
  }) as const satisfies KeyPlace;

function newVaultKey(): KeyEncryptionKey {
  const path = `transit/fs-${randomUUID()}`;
  clouds.vault.rotate(path);
  return vaultKey(outbound, path);
}

describe.each([
  ["AWS KMS", () => kmsKey(outbound, addKmsKey(clouds))],
  ["Transit", newVaultKey],
] as const)("a key of %s", (_name, makeKey) => {
  let key: KeyEncryptionKey;
  beforeEach(() => {
    key = makeKey();
  });

  test("unwraps what it has wrapped, in its place", async () => {
    for (const [place, bytes] of [
      [dataKeyPlace(key.id), randomBytes(32)],
      [signingKeyPlace(key.id), randomBytes(138)],
    ] as const) {
      const wrapped = await key.wrap(place, bytes);
      expect(wrapped.includes(bytes)).toBe(false);
      expect(await key.unwrap(place, wrapped)).toEqual(bytes);
    }
  });

  test("does not unwrap in another place", async () => {
    const place = dataKeyPlace(key.id);
    const wrapped = await key.wrap(place, randomBytes(32));
    const elsewhere: KeyPlace[] = [
      { ...place, factoryId: randomUUID() },
      { ...place, dataKeyId: randomUUID() },
      { ...place, purpose: "fingerprint" },
      { ...place, keyEncryptionKeyId: "kek-0000000000000000" },
      signingKeyPlace(key.id),
    ];
    for (const other of elsewhere) await expect(key.unwrap(other, wrapped)).rejects.toThrow(new EnvelopeError());
  });

  test("refuses every byte that was flipped, every cut and every added byte", async () => {
    const place = signingKeyPlace(key.id);
    // Of a length that base64 pads, where a changed last character could say the same bytes.
    const wrapped = await key.wrap(place, randomBytes(138));
    const flip = (at: number, bit: number): Buffer => {
      const bytes = Buffer.from(wrapped);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      return bytes;
    };
    // Of what stands in front each bit, of the rest one of each byte.
    const front = Array.from({ length: 8 * 8 }, (_, n) => flip(n >> 3, n & 7));
    const flipped = [...front, ...Array.from({ length: wrapped.length }, (_, at) => flip(at, at % 8))];
    const others = [wrapped.subarray(1), wrapped.subarray(0, -1), Buffer.concat([wrapped, Buffer.of(0)])];
    for (const bytes of [...flipped, ...others, Buffer.of(), wrapped.subarray(0, 4)])
      await expect(key.unwrap(place, bytes)).rejects.toThrow(new EnvelopeError());
  });

  test("takes no bytes of another kind of key for its own", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (bytes) => {
        await expect(key.unwrap(dataKeyPlace(key.id), Buffer.from(bytes))).rejects.toThrow(new EnvelopeError());
      }),
      { numRuns: 20 },
    );
  });

  test("knows itself by its check value", async () => {
    const checkValue = await key.createCheckValue();
    expect(await key.fitsCheckValue(checkValue)).toBe(true);
    checkValue[checkValue.length - 1] = (checkValue[checkValue.length - 1] ?? 0) ^ 1;
    expect(await key.fitsCheckValue(checkValue)).toBe(false);
    expect(await key.fitsCheckValue(randomBytes(32))).toBe(false);
  });
});

describe("what AWS KMS is asked", () => {
  test("is signed, and its encryption context is the place, for CloudTrail to show", async () => {
    const arn = addKmsKey(clouds);
    const key = kmsKey(outbound, arn);
    const place = dataKeyPlace(key.id);
    await key.unwrap(place, await key.wrap(place, randomBytes(32)));
    const { factoryId, dataKeyId } = place;
    const context = {
      "factory-secrets": "data-key",
      purpose: "secret",
      factoryId,
      dataKeyId,
      keyEncryptionKeyId: key.id,
    };
    expect(clouds.aws.kmsKeys.uses.slice(-2)).toEqual([
      { operation: "Encrypt", arn, context },
      { operation: "Decrypt", arn, context },
    ]);
  });

  test("names its key, so that wrapped bytes cannot choose another one of the same account", async () => {
    const [one, other] = [addKmsKey(clouds), addKmsKey(clouds)].map((arn) => kmsKey(outbound, arn));
    const place = dataKeyPlace("kek-0000000000000000");
    const wrapped = await one?.wrap(place, randomBytes(32));
    await expect(other?.unwrap(place, wrapped ?? Buffer.of())).rejects.toThrow(new EnvelopeError());
  });

  test.each([
    [
      "a wrong secret",
      /credentials are wrong/,
      (arn: string) => kmsKey(outbound, arn, { ...keeper, secretAccessKey: "x" }),
    ],
    ["an unknown access key", /not known/, (arn: string) => kmsKey(outbound, arn, { ...keeper, accessKeyId: "AKIAX" })],
  ])("with %s is refused, and the operator told why", async (_what, sentence, makeKey) => {
    const failing = makeKey(addKmsKey(clouds)).createCheckValue();
    await expect(failing).rejects.toThrow(KeyUnavailable);
    await expect(failing).rejects.toThrow(sentence);
  });

  test("without permission, of a key that is disabled, ends soon or is not there: the operator is told which", async () => {
    const denied = addKmsKey(clouds, ["kms:Encrypt"]);
    await expect(kmsKey(outbound, denied).createCheckValue()).rejects.toThrow(/kms:Decrypt failed: .*not permitted/);
    const arn = addKmsKey(clouds);
    clouds.aws.kmsKeys.setState(arn, "disabled");
    await expect(kmsKey(outbound, arn).createCheckValue()).rejects.toThrow(/disabled/);
    clouds.aws.kmsKeys.setState(arn, "pending-deletion");
    await expect(kmsKey(outbound, arn).createCheckValue()).rejects.toThrow(/deletion is scheduled/);
    const gone = `${arn.slice(0, -4)}ffff`;
    await expect(kmsKey(outbound, gone).createCheckValue()).rejects.toThrow(/no such key/);
  });

  test("is asked again when it is called too often or fails once", async () => {
    const key = kmsKey(outbound, addKmsKey(clouds));
    for (const fault of ["throttle", "server-error"] as const) {
      clouds.aws.kms.fail(fault, 1);
      await expect(key.wrap(dataKeyPlace(key.id), randomBytes(32))).resolves.toBeInstanceOf(Buffer);
    }
  });

  test.each(["stall", "drop", "garbage", "server-error", "empty-object"] as const)(
    "and answers with %s: unavailable, and no ciphertext is blamed",
    async (fault) => {
      const key = kmsKey(outbound, addKmsKey(clouds));
      const place = dataKeyPlace(key.id);
      const wrapped = await key.wrap(place, randomBytes(32));
      clouds.aws.kms.fail(fault);
      await expect(key.unwrap(place, wrapped)).rejects.toThrow(KeyUnavailable);
    },
  );
});

describe("what Transit is asked", () => {
  test("carries the token of the file as it is now, and the namespace", async () => {
    const directory = await mkdtemp(join(tmpdir(), "factory-secrets-transit-"));
    const path = join(directory, "token");
    await writeFile(path, `${transitToken}\n`);
    clouds.vault.rotate("ns/one/transit/fs");
    const key = vaultKey(outbound, "transit/fs?namespace=ns/one", { kind: "file", path });
    const place = dataKeyPlace(key.id);
    const bytes = randomBytes(32);
    const wrapped = await key.wrap(place, bytes);
    clouds.vault.tokens.clear();
    await expect(key.unwrap(place, wrapped)).rejects.toThrow(/token is not valid/);
    clouds.vault.tokens.add("not-a-real-secret-renewed").add(transitToken);
    await writeFile(path, "not-a-real-secret-renewed");
    expect(await key.unwrap(place, wrapped)).toEqual(bytes);
    await rm(path);
    await expect(key.unwrap(place, wrapped)).rejects.toThrow(`there is no token in ${path}`);
    await rm(directory, { recursive: true });
  });

  test("opens what an older version of its key has wrapped", async () => {
    clouds.vault.rotate("transit/rotated");
    const key = vaultKey(outbound, "transit/rotated");
    const place = dataKeyPlace(key.id);
    const bytes = randomBytes(32);
    const wrapped = await key.wrap(place, bytes);
    clouds.vault.rotate("transit/rotated");
    expect(await key.unwrap(place, wrapped)).toEqual(bytes);
    expect(await key.unwrap(place, await key.wrap(place, bytes))).toEqual(bytes);
    const stored = clouds.vault.keys.get("transit/rotated");
    if (stored) stored.minDecryptionVersion = 2;
    await expect(key.unwrap(place, wrapped)).rejects.toThrow(/min_decryption_version is above/);
  });

  test("is not trusted when it ignores the place, as releases before 1.13 do", async () => {
    const key = newVaultKey();
    clouds.vault.ignoresAssociatedData = true;
    await expect(key.createCheckValue()).rejects.toThrow(/ignores associated data/);
  });

  test("of a key that cannot bind a place, is derived, sealed or not there: the operator is told which", async () => {
    clouds.vault.rotate("transit/rsa", { type: "rsa-4096" });
    await expect(vaultKey(outbound, "transit/rsa").createCheckValue()).rejects.toThrow(/must be of type aes256-gcm96/);
    clouds.vault.rotate("transit/derived", { derived: true });
    await expect(vaultKey(outbound, "transit/derived").createCheckValue()).rejects.toThrow(/not derived/);
    const key = newVaultKey();
    const wrapped = await key.wrap(dataKeyPlace(key.id), randomBytes(32));
    clouds.vault.keys.clear();
    await expect(key.unwrap(dataKeyPlace(key.id), wrapped)).rejects.toThrow(/no such key/);
    clouds.vault.sealed = true;
    await expect(key.unwrap(dataKeyPlace(key.id), wrapped)).rejects.toThrow(/sealed/);
    await expect(vaultKey(outbound, "transit/x", "none").createCheckValue()).rejects.toThrow(/needs a token/);
  });

  test.each(["stall", "drop", "garbage", "server-error", "empty-object", "throttle"] as const)(
    "and answers with %s: unavailable, and no ciphertext is blamed",
    async (fault) => {
      const key = newVaultKey();
      const place = dataKeyPlace(key.id);
      const wrapped = await key.wrap(place, randomBytes(32));
      clouds.vault.endpoint.fail(fault);
      await expect(key.unwrap(place, wrapped)).rejects.toThrow(KeyUnavailable);
      clouds.vault.endpoint.heal();
    },
  );
});
