import { randomUUID } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../support/test-service.js";
import {
  type Issued,
  type Making,
  makeDevice,
  makeIntermediate,
  makeRevocationList,
  makeRoot,
} from "./device-certificates.js";
import { makeServerFiles, oneSentence, putRevocationLists, refusals, register, whoAmI } from "./device-service.js";

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
const hoursFromNow = (hours: number) => new Date(Date.now() + hours * 3_600_000);
const withUsage = (usage: x509.KeyUsageFlags, purpose = clientAuth): Making => ({
  onlyExtensions: [new x509.KeyUsagesExtension(usage, true), new x509.ExtendedKeyUsageExtension([purpose])],
});

/** Shows the leaf and what stands between it and its root. */
const chainOf = (device: Issued, ...above: readonly Issued[]) => ({
  pem: [device, ...above].map(({ pem }) => pem).join("\n"),
  keyPem: device.keyPem,
});
// What OpenSSL as a client would not send is what an attacker's would.
const lax = { ciphers: "DEFAULT@SECLEVEL=0" };

async function expectRefused(factory: string, shown: { pem: string; keyPem: string }, reason: string) {
  const reply = await whoAmI(service, shown, lax);
  expect(reply).toMatchObject({ status: 401, body: { code: "unauthenticated", detail: oneSentence } });
  const rows = await refusals(service, factory);
  expect(rows.map((row) => row.reason)).toEqual([reason]);
  return rows[0];
}

async function factoryWith(making: Making = {}) {
  const factory = await service.createFactory();
  const root = await makeRoot(undefined, making);
  const authority = await register(service, factory, { certificates: [root] });
  return { factory, root, authority };
}

describe("a certificate that is accepted", () => {
  it.each(["TLSv1.2", "TLSv1.3"] as const)("names the device, over %s", async (version) => {
    const { factory, root } = await factoryWith();
    const device = await makeDevice(root, factory.name);
    const reply = await whoAmI(service, device, { minVersion: version, maxVersion: version });
    expect(reply).toMatchObject({ status: 200, body: { kind: "device", id: device.id } });
    expect(await refusals(service, factory.name)).toEqual([]);
  });

  it.each([
    ["RSA of 2048 bits", rsa(2048)],
    ["P-384", { name: "ECDSA", namedCurve: "P-384", hash: "SHA-256" }],
    ["Ed25519", { name: "Ed25519" }],
  ])("may have a key of %s", async (_, algorithm) => {
    const { factory, root } = await factoryWith({ algorithm });
    expect(await whoAmI(service, await makeDevice(root, factory.name, { algorithm }))).toMatchObject({ status: 200 });
  });

  it("may show its way up itself, or leave that to the registered bundle", async () => {
    const { factory, root } = await factoryWith();
    const between = await makeIntermediate(root);
    const shown = await makeDevice(between, factory.name);
    expect(await whoAmI(service, chainOf(shown, between))).toMatchObject({ status: 200 });
    const bundled = await service.createFactory();
    await register(service, bundled, { certificates: [root, between] });
    expect(await whoAmI(service, await makeDevice(between, bundled.name))).toMatchObject({ status: 200 });
  });
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
    const { factory, root, authority } = await factoryWith();
    const device = await makeDevice(root, factory.name, making());
    const row = await expectRefused(factory.name, device, reason);
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
    const { factory, root } = await factoryWith();
    const device = await makeDevice(root, factory.name, { subject: subject(factory.name) });
    await expectRefused(factory.name, device, "malformed-subject");
  });

  it("is one of another factory's device: wrong-factory", async () => {
    const { factory, root } = await factoryWith();
    const other = await service.createFactory();
    await expectRefused(factory.name, await makeDevice(root, other.name), "wrong-factory");
    expect(await refusals(service, other.name)).toEqual([]);
  });

  it("is a forgery in the name of the authority: bad-signature, and nothing that it claims is written down", async () => {
    const { factory, root } = await factoryWith();
    const forger = await makeRoot(root.certificate.subjectName.getField("CN")[0]);
    const row = await expectRefused(factory.name, await makeDevice(forger, factory.name), "bad-signature");
    expect(row).not.toHaveProperty("deviceId");
    expect(row).not.toHaveProperty("serial");
  });

  it("is one of an authority that nobody has registered, and no audit says so", async () => {
    const { factory } = await factoryWith();
    const reply = await whoAmI(service, await makeDevice(await makeRoot(), factory.name));
    expect(reply).toMatchObject({ status: 401, body: { detail: oneSentence } });
    expect(await refusals(service, factory.name)).toEqual([]);
  });

  // Node leaves out of what it gives whatever could not have issued the one before, so that no authority is found.
  it.each<[string, Making]>([
    ["is another device", {}],
    ["may not sign certificates", { onlyExtensions: [asCa(), new x509.KeyUsagesExtension(cRLSign, true)] }],
  ])("has an issuer that %s, and no audit says so", async (_, making) => {
    const { factory, root } = await factoryWith();
    const issuer = await makeDevice(root, factory.name, making);
    const reply = await whoAmI(service, chainOf(await makeDevice(issuer, factory.name), issuer));
    expect(reply).toMatchObject({ status: 401, body: { detail: oneSentence } });
    expect(await refusals(service, factory.name)).toEqual([]);
  });

  it("has more issuers above it than one of them allows: path-too-long", async () => {
    const { factory, root } = await factoryWith();
    const upper = await makeIntermediate(root, { pathLength: 0 });
    const lower = await makeIntermediate(upper);
    const device = await makeDevice(lower, factory.name);
    await expectRefused(factory.name, chainOf(device, lower, upper), "path-too-long");
  });

  it("has an issuer with name constraints, which are not looked at: unknown-critical-extension", async () => {
    const { factory, root } = await factoryWith();
    const constraints = new x509.Extension("2.5.29.30", false, new Uint8Array([0x30, 0x00]));
    const between = await makeIntermediate(root, { onlyExtensions: [asCa(), constraints] });
    const shown = chainOf(await makeDevice(between, factory.name), between);
    await expectRefused(factory.name, shown, "unknown-critical-extension");
  });

  it("has an issuer that has expired: expired", async () => {
    const { factory, root } = await factoryWith();
    const between = await makeIntermediate(root, { notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) });
    await expectRefused(factory.name, chainOf(await makeDevice(between, factory.name), between), "expired");
  });

  it("is on the list of its issuer: revoked", async () => {
    const { factory, root, authority } = await factoryWith();
    const device = await makeDevice(root, factory.name);
    const lists = [await makeRevocationList(root, [device.serial])];
    await putRevocationLists(service, factory, { authority, lists });
    await expectRefused(factory.name, device, "revoked");
  });

  it("stays revoked below a renewed certificate of the same issuer", async () => {
    const root = await makeRoot();
    const between = await makeIntermediate(root);
    const factory = await service.createFactory();
    const authority = await register(service, factory, { certificates: [root, between] });
    const renewed = await makeIntermediate(root, {
      keys: between.keys,
      subject: between.certificate.subjectName.toJSON(),
    });
    const device = await makeDevice(between, factory.name);
    await putRevocationLists(service, factory, {
      authority,
      lists: [await makeRevocationList(between, [device.serial])],
    });
    await expectRefused(factory.name, chainOf(device, renewed), "revoked");
  });

  it("has an issuer that the root has revoked: revoked", async () => {
    const { factory, root, authority } = await factoryWith();
    const between = await makeIntermediate(root);
    await putRevocationLists(service, factory, {
      authority,
      lists: [await makeRevocationList(root, [between.serial])],
    });
    await expectRefused(factory.name, chainOf(await makeDevice(between, factory.name), between), "revoked");
  });

  it("has an issuer whose list is out of date: revocation-list-expired, unless the policy goes by such lists", async () => {
    const { factory, root, authority } = await factoryWith();
    const lists = [await makeRevocationList(root, [], { nextUpdate: new Date(Date.now() - 1_000) })];
    await putRevocationLists(service, factory, { authority, lists });
    const device = await makeDevice(root, factory.name);
    await expectRefused(factory.name, device, "revocation-list-expired");
    const lenient = await service.createFactory();
    const other = await register(service, lenient, {
      certificates: [root],
      policy: { allowStaleRevocationLists: true },
    });
    await putRevocationLists(service, lenient, { authority: other, lists });
    expect(await whoAmI(service, await makeDevice(root, lenient.name))).toMatchObject({ status: 200 });
  });
});

it("knows nobody without a certificate, and says so", async () => {
  expect(await whoAmI(service, undefined)).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
});

it("goes by the OU where two factories have registered one authority", async () => {
  const { factory, root } = await factoryWith();
  const other = await service.createFactory();
  await register(service, other, { certificates: [root] });
  for (const { name } of [factory, other]) {
    const reply = await whoAmI(service, await makeDevice(root, name));
    expect(reply).toMatchObject({ status: 200, body: { factory: name } });
  }
});

it("writes a refusal down once, however often the device asks", async () => {
  const { factory, root } = await factoryWith();
  const device = await makeDevice(root, factory.name, { notAfter: hoursFromNow(-1), notBefore: hoursFromNow(-2) });
  for (let times = 0; times < 5; times += 1) expect(await whoAmI(service, device)).toMatchObject({ status: 401 });
  expect(await refusals(service, factory.name)).toHaveLength(1);
});

it("takes no certificate on the listener of everyone else", async () => {
  const { factory, root } = await factoryWith();
  const device = await makeDevice(root, factory.name);
  expect(await whoAmI({ deviceUrl: service.url }, device)).toMatchObject({ status: 401 });
});
