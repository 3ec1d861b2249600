import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EnvelopeError } from "../../../src/crypto/envelope.js";
import type { KeyPlace } from "../../../src/crypto/key-encryption-key.js";
import { parseConnectTo } from "../../../src/outbound/connect-to.js";
import { createOutbound, type Outbound, outboundDefaults } from "../../../src/outbound/outbound.js";
import { createTestCertificateAuthority } from "../../support/certificates.js";
import { kmsKey } from "../../support/crypto/sources/key-clouds.js";
import { type Moto, type MotoUser, runMoto } from "../../support/moto/run-moto.js";

const program = process.env.FACTORY_SECRETS_TEST_MOTO;
const reason = program === undefined ? " (skipped: FACTORY_SECRETS_TEST_MOTO does not name moto_server)" : "";

describe.skipIf(program === undefined)(`keys in KMS against moto${reason}`, () => {
  let moto: Moto;
  let outbound: Outbound;
  let user: MotoUser;
  let arn: string;

  beforeAll(async () => {
    const authority = await createTestCertificateAuthority();
    moto = await runMoto(program ?? "", authority, "us-east-2");
    outbound = createOutbound({
      ...outboundDefaults,
      connectTo: parseConnectTo(moto.connectTo).rules,
      caCertificates: [authority.caPem],
    });
    arn = await moto.createKmsKey();
    const Action = ["kms:Encrypt", "kms:Decrypt"];
    const Statement = [{ Effect: "Allow", Action, Resource: "*" }];
    user = await moto.createUser("keeper", { Version: "2012-10-17", Statement });
    await moto.enforceIam(true);
  });

  afterAll(async () => {
    await outbound?.close();
    await moto?.stop();
  });

  test("a key wraps, unwraps in its place only, and knows itself by its check value", async () => {
    const key = kmsKey(outbound, arn, user);
    const ids = { factoryId: randomUUID(), dataKeyId: randomUUID(), keyEncryptionKeyId: key.id };
    const place = { kind: "data-key", purpose: "secret", ...ids } as const satisfies KeyPlace;
    const bytes = randomBytes(32);
    const wrapped = await key.wrap(place, bytes);
    expect(await key.unwrap(place, wrapped)).toEqual(bytes);
    const elsewhere = key.unwrap({ ...place, factoryId: randomUUID() }, wrapped);
    await expect(elsewhere).rejects.toThrow(new EnvelopeError());
    expect(await key.fitsCheckValue(await key.createCheckValue())).toBe(true);
  });

  test("a wrong secret key is found out by the signature alone", async () => {
    const wrong = kmsKey(outbound, arn, { ...user, secretAccessKey: "not-a-real-secret-1" });
    await expect(wrong.createCheckValue()).rejects.toThrow(/kms:Encrypt failed/);
  });
});
