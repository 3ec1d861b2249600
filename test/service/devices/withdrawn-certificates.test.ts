import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  makeDevice,
  makeIntermediate,
  makeRevocationList,
  makeRoot,
} from "../../support/devices/device-certificates.js";
import { makeServerFiles, putRevocationLists, register, whoAmI } from "../../support/devices/device-service.js";
import { chainOf, expectRefused, factoryWith } from "../../support/devices/refused-device.js";
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

describe("a certificate that is withdrawn", () => {
  it("is on the list of its issuer: revoked", async () => {
    const { factory, root, authority } = await factoryWith(service);
    const device = await makeDevice(root, factory.name);
    const lists = [await makeRevocationList(root, [device.serial])];
    await putRevocationLists(service, factory, { authority, lists });
    await expectRefused(service, factory.name, { shown: device, reason: "revoked" });
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
    await expectRefused(service, factory.name, { shown: chainOf(device, renewed), reason: "revoked" });
  });

  it("has an issuer that the root has revoked: revoked", async () => {
    const { factory, root, authority } = await factoryWith(service);
    const between = await makeIntermediate(root);
    await putRevocationLists(service, factory, {
      authority,
      lists: [await makeRevocationList(root, [between.serial])],
    });
    await expectRefused(service, factory.name, {
      shown: chainOf(await makeDevice(between, factory.name), between),
      reason: "revoked",
    });
  });

  it("has an issuer whose list is out of date: revocation-list-expired, unless the policy goes by such lists", async () => {
    const { factory, root, authority } = await factoryWith(service);
    const lists = [await makeRevocationList(root, [], { nextUpdate: new Date(Date.now() - 1_000) })];
    await putRevocationLists(service, factory, { authority, lists });
    const device = await makeDevice(root, factory.name);
    await expectRefused(service, factory.name, { shown: device, reason: "revocation-list-expired" });
    const lenient = await service.createFactory();
    const other = await register(service, lenient, {
      certificates: [root],
      policy: { allowStaleRevocationLists: true },
    });
    await putRevocationLists(service, lenient, { authority: other, lists });
    expect(await whoAmI(service, await makeDevice(root, lenient.name))).toMatchObject({ status: 200 });
  });

  it("is denied by its serial: denied, and the device's other certificates are not", async () => {
    const { factory, root, authority } = await factoryWith(service);
    const device = await makeDevice(root, factory.name);
    const other = await makeDevice(root, factory.name, { subject: device.certificate.subjectName.toJSON() });
    const denial = { authorityId: authority, serial: device.serial.toUpperCase(), reason: "replaced" };
    const denied = `/v1/factories/${factory.name}/denied-devices`;
    const operator = service.as(service.operatorToken);
    const { body } = await operator.post(denied).send(denial).expect(201);
    const row = await expectRefused(service, factory.name, { shown: device, reason: "denied" });
    expect(row).toMatchObject({ authority: { id: authority }, deviceId: device.id, serial: device.serial });
    expect(await whoAmI(service, other)).toMatchObject({ status: 200, body: { id: device.id } });
    await operator.delete(`${denied}/${body.id}`).expect(204);
    expect(await whoAmI(service, device)).toMatchObject({ status: 200 });
  });

  it("is not denied by the serial of another authority's certificate", async () => {
    const { factory, authority } = await factoryWith(service);
    const second = await makeRoot();
    await register(service, factory, { certificates: [second] });
    const device = await makeDevice(second, factory.name);
    const denial = { authorityId: authority, serial: device.serial };
    const denied = `/v1/factories/${factory.name}/denied-devices`;
    await service.as(service.operatorToken).post(denied).send(denial).expect(201);
    expect(await whoAmI(service, device)).toMatchObject({ status: 200 });
  });
});
