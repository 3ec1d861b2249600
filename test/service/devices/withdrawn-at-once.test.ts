import { once } from "node:events";
import { Agent } from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Issued, makeDevice, makeRevocationList, makeRoot } from "../../support/devices/device-certificates.js";
import {
  makeServerFiles,
  putRevocationLists,
  refusals,
  register,
  whoAmI,
  withdraw,
} from "../../support/devices/device-service.js";
import { polledAnew } from "../../support/polled-anew.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let files: Awaited<ReturnType<typeof makeServerFiles>>;
let service: TestService;
let replica: TestService;
beforeAll(async () => {
  files = await makeServerFiles();
  service = await startTestService(files.environment);
  replica = await startTestService(files.environment, service);
});
afterAll(async () => {
  await replica.close();
  await service.close();
  await files.remove();
});

type Known = {
  factory: { id: string; name: string };
  root: Issued;
  authority: string;
  device: Issued & { id: string };
};

it.each<[string, (known: Known) => Promise<unknown>, string[]]>([
  [
    "is revoked",
    async ({ factory, root, authority, device }) =>
      putRevocationLists(service, factory, { authority, lists: [await makeRevocationList(root, [device.serial])] }),
    ["revoked"],
  ],
  [
    "is denied",
    ({ factory, device }) =>
      service
        .as(service.operatorToken)
        .post(`/v1/factories/${factory.name}/denied-devices`)
        .send({ deviceId: device.id })
        .expect(201),
    ["denied"],
  ],
  [
    "has its certificate denied by the serial",
    ({ factory, authority, device: { serial } }) =>
      service
        .as(service.operatorToken)
        .post(`/v1/factories/${factory.name}/denied-devices`)
        .send({ authorityId: authority, serial })
        .expect(201),
    ["denied"],
  ],
  ["has lost its authority", ({ factory, authority }) => withdraw(service, factory, authority), []],
])("refuses on an open connection the device that %s, on every replica", async (_, change, reasons) => {
  const factory = await service.createFactory();
  const root = await makeRoot();
  const authority = await register(service, factory, { certificates: [root] });
  const device = await makeDevice(root, factory.name);
  const agents = [service, replica].map((where) => ({ where, agent: new Agent({ keepAlive: true, maxSockets: 1 }) }));
  for (const { where, agent } of agents) expect(await whoAmI(where, device, { agent })).toMatchObject({ status: 200 });
  await change({ factory, root, authority, device });
  for (const { where, agent } of agents) {
    await polledAnew(where);
    expect(await whoAmI(where, device, { agent })).toMatchObject({ status: 401, isReused: true });
    agent.destroy();
  }
  const said = new Set((await refusals(service, factory.name)).map(({ reason }) => reason));
  expect([...said]).toEqual(reasons);
});

it.each(["TLSv1.2", "TLSv1.3"] as const)(
  "resumes no session of %s: each shows its certificate anew",
  async (version) => {
    const factory = await service.createFactory();
    const root = await makeRoot();
    await register(service, factory, { certificates: [root] });
    const { pem: cert, keyPem: key } = await makeDevice(root, factory.name);
    const sessions: Buffer[] = [];
    const open = async (session?: Buffer): Promise<TLSSocket> => {
      const versions = { minVersion: version, maxVersion: version };
      const port = Number(new URL(service.deviceUrl).port);
      const options = { host: "127.0.0.1", port, cert, key, rejectUnauthorized: false, ...versions };
      const socket = connect({ ...options, ...(session && { session }) });
      socket.on("session", (made) => sessions.push(made));
      await once(socket, "secureConnect");
      socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
      await once(socket, "data");
      return socket;
    };
    const first = await open();
    const session = sessions.at(-1) ?? first.getSession();
    expect(session).toBeDefined();
    const second = await open(session);
    expect(second.isSessionReused()).toBe(false);
    for (const socket of [first, second]) socket.destroy();
  },
);
