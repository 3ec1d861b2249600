import { randomUUID } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Making, makeDevice, makeIntermediate, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, oneSentence, refusals, whoAmI } from "../../support/devices/device-service.js";
import { chainOf, expectRefused, factoryWith, hoursFromNow } from "../../support/devices/refused-device.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let files: Awaited<ReturnType<typeof makeServerFiles>>;
let service: TestService;
beforeAll(async () => {
  files = await makeServerFiles();
  service = await startTestService(files.environment);
});
afterAll(async () => {
  await service.close();
  await files.remove();
});

const { digitalSignature, keyAgreement, cRLSign } = x509.KeyUsageFlags;
const clientAuth = "1.3.6.1.5.5.7.3.2";
const serverAuth = "1.3.6.1.5.5.7.3.1";
const unknownExtension = () => new x509.Extension("1.3.6.1.4.1.99999.1", true, new Uint8Array([0x05, 0x00]));
const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256",
});
const asCa = (pathLength?: number) => new x509.BasicConstraintsExtension(true, pathLength, true);
const withUsage = (usage: x509.KeyUsageFlags, purpose = clientAuth): Making => ({
  onlyExtensions: [new x509.KeyUsagesExtension(usage, true), new x509.ExtendedKeyUsageExtension([purpose])],
});

describe("a certificate that is refused", () => {
  it.each<[string, string, () => Making]>([
    ["expired", "expired", () => ({ notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) })],
    ["not valid yet", "not-yet-valid", () => ({ notBefore: hoursFromNow(1) })],
    ["not for signatures", "wrong-key-usage", () => withUsage(keyAgreement)],
    ["for servers", "wrong-key-usage", () => withUsage(digitalSignature, serverAuth)],
    ["a CA itself", "wrong-key-usage", () => ({ extensions: [asCa()] })],
    ["RSA of 1024 bits", "weak-key", () => ({ algorithm: rsa(1024) })],
    ["signed with SHA-1", "weak-key", () => ({ hash: "SHA-1" })],
    [
      "with a critical extension that nobody knows",
      "unknown-critical-extension",
      () => ({ extensions: [unknownExtension()] }),
    ],
  ])("is one that is %s: %s", async (_, reason, making) => {
    const { factory, root, authority } = await factoryWith(service);
    const device = await makeDevice(root, factory.name, making());
    const row = await expectRefused(service, factory.name, { shown: device, reason });
    expect(row).toMatchObject({ authority: { id: authority }, deviceId: device.id, serial: device.serial });
  });

  it.each<[string, (factory: string) => x509.JsonName]>([
    ["without a CN", (factory) => [{ OU: [factory] }]],
    ["whose CN is no UUID", (factory) => [{ CN: ["device-1"] }, { OU: [factory] }]],
    ["with two CNs", (factory) => [{ CN: [randomUUID()] }, { CN: [randomUUID()] }, { OU: [factory] }]],
    ["without an OU", () => [{ CN: [randomUUID()] }]],
    ["with two OUs", (factory) => [{ CN: [randomUUID()] }, { OU: [factory] }, { OU: ["other"] }]],
    ["with two OUs in one", (factory) => [{ CN: [randomUUID()] }, { OU: [factory, "other"] }]],
  ])("is one %s: malformed-subject", async (_, subject) => {
    const { factory, root } = await factoryWith(service);
    const device = await makeDevice(root, factory.name, { subject: subject(factory.name) });
    await expectRefused(service, factory.name, { shown: device, reason: "malformed-subject" });
  });

  it("is one of another factory's device: wrong-factory", async () => {
    const { factory, root } = await factoryWith(service);
    const other = await service.createFactory();
    await expectRefused(service, factory.name, { shown: await makeDevice(root, other.name), reason: "wrong-factory" });
    expect(await refusals(service, other.name)).toEqual([]);
  });

  it("is a forgery in the name of the authority: bad-signature, and nothing that it claims is written down", async () => {
    const { factory, root } = await factoryWith(service);
    const forger = await makeRoot(root.certificate.subjectName.getField("CN")[0]);
    const row = await expectRefused(service, factory.name, {
      shown: await makeDevice(forger, factory.name),
      reason: "bad-signature",
    });
    expect(row).not.toHaveProperty("deviceId");
    expect(row).not.toHaveProperty("serial");
  });

  it("is one of an authority that nobody has registered, and no audit says so", async () => {
    const { factory } = await factoryWith(service);
    const reply = await whoAmI(service, await makeDevice(await makeRoot(), factory.name));
    expect(reply).toMatchObject({ status: 401, body: { detail: oneSentence } });
    expect(await refusals(service, factory.name)).toEqual([]);
  });

  // Node leaves out of what it gives whatever could not have issued the one before, so that no authority is found.
  it.each<[string, Making]>([
    ["is another device", {}],
    ["may not sign certificates", { onlyExtensions: [asCa(), new x509.KeyUsagesExtension(cRLSign, true)] }],
  ])("has an issuer that %s, and no audit says so", async (_, making) => {
    const { factory, root } = await factoryWith(service);
    const issuer = await makeDevice(root, factory.name, making);
    const reply = await whoAmI(service, chainOf(await makeDevice(issuer, factory.name), issuer));
    expect(reply).toMatchObject({ status: 401, body: { detail: oneSentence } });
    expect(await refusals(service, factory.name)).toEqual([]);
  });

  it("has more issuers above it than one of them allows: path-too-long", async () => {
    const { factory, root } = await factoryWith(service);
    const upper = await makeIntermediate(root, { pathLength: 0 });
    const lower = await makeIntermediate(upper);
    const device = await makeDevice(lower, factory.name);
    await expectRefused(service, factory.name, { shown: chainOf(device, lower, upper), reason: "path-too-long" });
  });

  it("has an issuer with name constraints, which are not looked at: unknown-critical-extension", async () => {
    const { factory, root } = await factoryWith(service);
    const constraints = new x509.Extension("2.5.29.30", false, new Uint8Array([0x30, 0x00]));
    const between = await makeIntermediate(root, { onlyExtensions: [asCa(), constraints] });
    const shown = chainOf(await makeDevice(between, factory.name), between);
    await expectRefused(service, factory.name, { shown, reason: "unknown-critical-extension" });
  });

  it("has an issuer that has expired: expired", async () => {
    const { factory, root } = await factoryWith(service);
    const between = await makeIntermediate(root, { notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) });
    await expectRefused(service, factory.name, {
      shown: chainOf(await makeDevice(between, factory.name), between),
      reason: "expired",
    });
  });
});

it("writes a refusal down once, however often the device asks", async () => {
  const { factory, root } = await factoryWith(service);
  const device = await makeDevice(root, factory.name, { notAfter: hoursFromNow(-1), notBefore: hoursFromNow(-2) });
  for (let times = 0; times < 5; times += 1) expect(await whoAmI(service, device)).toMatchObject({ status: 401 });
  expect(await refusals(service, factory.name)).toHaveLength(1);
});
