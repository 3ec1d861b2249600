import { once } from "node:events";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeDevice, makeIntermediate } from "../../support/devices/device-certificates.js";
import { makeServerFiles, refusals, register, whoAmI } from "../../support/devices/device-service.js";
import { chainOf, factoryWith } from "../../support/devices/refused-device.js";
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

const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256",
});

describe("a certificate that is accepted", () => {
  it.each(["TLSv1.2", "TLSv1.3"] as const)("names the device, over %s", async (version) => {
    const { factory, root } = await factoryWith(service);
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
    const { factory, root } = await factoryWith(service, { algorithm });
    expect(await whoAmI(service, await makeDevice(root, factory.name, { algorithm }))).toMatchObject({ status: 200 });
  });

  it("may show its way up itself, or leave that to the registered bundle", async () => {
    const { factory, root } = await factoryWith(service);
    const between = await makeIntermediate(root);
    const shown = await makeDevice(between, factory.name);
    expect(await whoAmI(service, chainOf(shown, between))).toMatchObject({ status: 200 });
    const bundled = await service.createFactory();
    await register(service, bundled, { certificates: [root, between] });
    expect(await whoAmI(service, await makeDevice(between, bundled.name))).toMatchObject({ status: 200 });
  });
});

it("goes by the OU where two factories have registered one authority", async () => {
  const { factory, root } = await factoryWith(service);
  const other = await service.createFactory();
  await register(service, other, { certificates: [root] });
  for (const { name } of [factory, other]) {
    const reply = await whoAmI(service, await makeDevice(root, name));
    expect(reply).toMatchObject({ status: 200, body: { factory: name } });
  }
});

it("knows nobody without a certificate, and says so", async () => {
  const detail = expect.stringContaining("No certificate was shown.");
  expect(await whoAmI(service, undefined)).toMatchObject({ status: 401, body: { code: "unauthenticated", detail } });
});

it("takes no certificate on the listener of everyone else", async () => {
  const { factory, root } = await factoryWith(service);
  const device = await makeDevice(root, factory.name);
  expect(await whoAmI({ deviceUrl: service.url }, device)).toMatchObject({ status: 401 });
});

it("is still asked for once the service's own certificate was renewed", async () => {
  const { factory, root } = await factoryWith(service);
  const device = await makeDevice(root, factory.name);
  const serial = await files.renew();
  const shown = async () => {
    const port = Number(new URL(service.deviceUrl).port);
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const seen = socket.getPeerX509Certificate()?.serialNumber;
    socket.destroy();
    return seen;
  };
  await expect.poll(shown).toBe(serial);
  expect(await whoAmI(service, device)).toMatchObject({ status: 200, body: { id: device.id } });
});
