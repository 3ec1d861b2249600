import { once } from "node:events";
import { Agent } from "node:https";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { maxHandshakeBytes } from "../../../src/http/guard-handshakes.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, oneSentence, register, whoAmI } from "../../support/devices/device-service.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { holdRefusals } from "./held-refusals.js";

const perMinute = 3;
let files: Awaited<ReturnType<typeof makeServerFiles>>;
let service: TestService;
let factory: { id: string; name: string };
let root: Issued;
let bad: Issued;
beforeAll(async () => {
  files = await makeServerFiles();
  service = await startOwnTestService({
    ...files.environment,
    FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: String(perMinute),
  });
  factory = await service.createFactory();
  root = await makeRoot();
  await register(service, factory, { certificates: [root] });
  bad = await makeDevice(await makeRoot(), factory.name);
});
afterAll(async () => {
  await service.close();
  await files.remove();
});

/** All of 127.0.0.0/8 is this machine: each test is somebody else. */
const from = (localAddress: string) => ({ localAddress });
const goodDevice = () => makeDevice(root, factory.name);
const refused = { status: 401, body: { detail: oneSentence } };

async function fail(address: string): Promise<void> {
  for (let index = 0; index < perMinute; index += 1) {
    expect(await whoAmI(service, bad, from(address))).toMatchObject(refused);
  }
}

async function limited(limit: string): Promise<number> {
  const { text } = await service.as(undefined).get("/metrics");
  return Number(new RegExp(`limited_requests_total\\{limit="${limit}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
}

const closedWithoutHandshake = { code: "ECONNRESET", message: expect.stringContaining("before secure TLS connection") };

describe("an address whose devices' certificates have been refused too often", () => {
  it("gets no further handshake, and its connection is held for a second", async () => {
    await fail("127.0.1.1");
    const before = await limited("device-handshakes");
    const startedAt = performance.now();
    await expect(whoAmI(service, bad, from("127.0.1.1"))).rejects.toMatchObject(closedWithoutHandshake);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    // The text of the metrics is remembered for a second.
    await expect.poll(async () => (await limited("device-handshakes")) - before).toBe(1);
    expect(await whoAmI(service, bad, from("127.0.1.2"))).toMatchObject(refused);
  });

  it("is refused on a connection that is open, without a query and without a line in the log", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const options = { ...from("127.0.2.1"), agent };
    for (let index = 0; index < perMinute; index += 1) {
      expect(await whoAmI(service, bad, options)).toMatchObject(refused);
    }
    const queries = vi.spyOn(service.database.prisma, "$queryRawUnsafe");
    const lines = service.logLines.length;
    const reply = await whoAmI(service, bad, options);
    expect(reply).toMatchObject({ status: 429, body: { code: "too-many-requests" }, isReused: true });
    expect(queries.mock.calls.filter(([sql]) => sql.includes("device"))).toEqual([]);
    expect(service.logLines.slice(lines).filter((line) => line.includes("whoAmI"))).toEqual([]);
    vi.restoreAllMocks();
    agent.destroy();
  });

  it("does not lock out the devices that were accepted there, on open connections and on new ones", async () => {
    const [known, elsewhere, unknown] = [await goodDevice(), await goodDevice(), await goodDevice()];
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await whoAmI(service, known, { ...from("127.0.3.1"), agent })).toMatchObject({ status: 200 });
    expect(await whoAmI(service, elsewhere, from("127.0.3.2"))).toMatchObject({ status: 200 });
    await fail("127.0.3.1");
    expect(await whoAmI(service, known, { ...from("127.0.3.1"), agent })).toMatchObject({
      status: 200,
      isReused: true,
    });
    expect(await whoAmI(service, known, from("127.0.3.1"))).toMatchObject({ status: 200 });
    expect(await whoAmI(service, elsewhere, from("127.0.3.1"))).toMatchObject({ status: 200 });
    expect(await whoAmI(service, unknown, from("127.0.3.1"))).toMatchObject({ status: 429 });
    expect(await whoAmI(service, bad, from("127.0.3.1"))).toMatchObject({ status: 429 });
    agent.destroy();
  });

  it("gets a few handshakes at a time for strangers where devices were accepted, and those do not count", async () => {
    const known = await goodDevice();
    expect(await whoAmI(service, known, from("127.0.7.1"))).toMatchObject({ status: 200 });
    await fail("127.0.7.1");
    // All at once, however long each takes: a place is free again when its refusal has gone out.
    const held = holdRefusals();
    const replies = Array.from({ length: 20 }, () => whoAmI(service, bad, from("127.0.7.1")).catch(() => undefined));
    try {
      await expect.poll(() => held.count).toBe(20);
    } finally {
      held.release();
    }
    expect((await Promise.all(replies)).filter((reply) => reply?.status === 429)).toHaveLength(16);
    // A stranger's place is free when its connection has ended, a little after its answer has come.
    const knows = async () => (await whoAmI(service, known, from("127.0.7.1")).catch(() => undefined))?.status;
    await expect.poll(knows).toBe(200);
    for (let index = 0; index < 20; index += 1) {
      expect(await whoAmI(service, known, from("127.0.7.1"))).toMatchObject({ status: 200 });
    }
    expect(await whoAmI(service, bad, from("127.0.7.1"))).toMatchObject({ status: 429 });
  });

  it("does not slow down good devices of other addresses", async () => {
    const known = await goodDevice();
    await fail("127.0.4.1");
    const held = holdRefusals();
    const flood = Array.from({ length: 20 }, () => whoAmI(service, bad, from("127.0.4.1")).catch(() => undefined));
    try {
      await expect.poll(() => held.count).toBe(20);
      expect(await whoAmI(service, known, from("127.0.4.2"))).toMatchObject({ status: 200 });
    } finally {
      held.release();
    }
    expect(await Promise.all(flood)).toEqual(flood.map(() => undefined));
  });
});

describe("a client that shows more than any device needs", () => {
  /** Ends when the connection does. @returns whether it has answered a request */
  async function show(chain: string, keyPem: string, localAddress: string): Promise<boolean> {
    const port = Number(new URL(service.deviceUrl).port);
    const client = { cert: chain, key: keyPem, rejectUnauthorized: false, localAddress };
    let isAnswered = false;
    await new Promise<void>((resolve) => {
      const socket = connect({ ...client, port, host: "127.0.0.1" });
      socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      socket.on("data", () => {
        isAnswered = true;
      });
      socket.on("error", () => undefined).on("close", () => resolve());
    });
    return isAnswered;
  }

  it("is cut off, and after the third time gets no further handshake, whoever is behind its address", async () => {
    const device = await goodDevice();
    const others = await Promise.all(Array.from({ length: 60 }, () => makeRoot()));
    const chain = [device, ...others].map(({ pem }) => pem).join("\n");
    expect(Buffer.byteLength(chain) * 0.7).toBeGreaterThan(maxHandshakeBytes);
    expect(await whoAmI(service, device, from("127.0.5.1"))).toMatchObject({ status: 200 });
    for (let index = 0; index < 3; index += 1) {
      expect(await show(device.pem, device.keyPem, "127.0.5.1")).toBe(true);
      expect(await show(chain, device.keyPem, "127.0.5.1")).toBe(false);
    }
    await expect(whoAmI(service, device, from("127.0.5.1"))).rejects.toMatchObject(closedWithoutHandshake);
    expect(await whoAmI(service, device, from("127.0.5.2"))).toMatchObject({ status: 200 });
  });

  it("is counted when it never ends its handshake, too", async () => {
    // The beginning of a ClientHello of 24 KiB, in two records.
    const part = Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x30, 0x00]), Buffer.alloc(0x3000)]);
    const hello = Buffer.concat([part, part]);
    hello.set([0x01, 0x00, 0x60, 0x00], 5);
    const port = Number(new URL(service.deviceUrl).port);
    for (let index = 0; index < 3; index += 1) {
      const socket = connectPlain({ port, host: "127.0.0.1", localAddress: "127.0.6.1" }).resume();
      socket.end(hello);
      await once(
        socket.on("error", () => undefined),
        "close",
      );
    }
    await expect(whoAmI(service, bad, from("127.0.6.1"))).rejects.toMatchObject(closedWithoutHandshake);
  });
});
