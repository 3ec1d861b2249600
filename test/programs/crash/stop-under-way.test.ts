import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register } from "../../support/devices/device-service.js";
import { freePort } from "../../support/free-port.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";

/** Longer than any drain that a test could wait for by mistake. */
const endlessSeconds = 300;
/** What is in flight is cut after 10 s; the rest is a slow machine's. */
const mostMs = 20_000;

let service: TestService;
let factory: { id: string; name: string };
let files: Awaited<ReturnType<typeof makeServerFiles>>;
beforeAll(async () => {
  files = await makeServerFiles();
  service = await startTestService();
  factory = await service.createFactory();
});
afterEach(endServerProcesses);
afterAll(async () => {
  await service.close();
  await files.remove();
});

const settings = (more: Record<string, string> = {}): Record<string, string> => ({
  DATABASE_URL: service.databaseUrl,
  FACTORY_SECRETS_KEY: service.key,
  ...more,
});

type Answer = { status: number; connection: string; text: string };

async function answerOf(sent: ReturnType<typeof request>): Promise<Answer> {
  const [reply]: IncomingMessage[] = await once(sent, "response");
  if (!reply) throw new Error("a reply");
  return { status: reply.statusCode ?? 0, connection: reply.headers.connection ?? "", text: await text(reply) };
}

describe("the port for devices, after SIGTERM", () => {
  it("ends what is in flight, answers with Connection: close, and refuses nothing until the drain ends", async () => {
    const root = await makeRoot();
    await register(service, factory, { certificates: [root] });
    const device = await makeDevice(root, factory.name);
    const port = await freePort();
    const server = startServerProcess(
      settings({
        ...files.environment,
        FACTORY_SECRETS_DEVICE_PORT: String(port),
        FACTORY_SECRETS_DRAIN_SECONDS: String(endlessSeconds),
      }),
    );
    const main = await server.listening();
    const agent = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
    const shown = { cert: device.pem, key: device.keyPem, rejectUnauthorized: false };
    const ask = (path: string, method = "GET", on = agent) =>
      request(`https://127.0.0.1:${port}${path}`, { ...shown, method, agent: on });
    expect(await answerOf(ask("/v1/whoami").end())).toMatchObject({ status: 200, connection: "keep-alive" });

    // Its body is still on the way when the signal comes.
    const inFlight = ask(`/v1/factories/${factory.name}/registry-tokens`, "POST");
    inFlight.setHeader("Content-Type", "application/json");
    inFlight.write("{");
    server.signal("SIGTERM");
    const readiness = () => answerOf(request(`${main}/readyz`, { rejectUnauthorized: false, agent: false }).end());
    await expect.poll(readiness).toMatchObject({ status: 503, connection: "close" });
    const answered = answerOf(inFlight);
    inFlight.end("}");
    expect(await answered).toMatchObject({ status: 422, connection: "close" });
    // A device that comes now, with a handshake of its own, is answered too.
    const other = new Agent({ maxCachedSessions: 0 });
    expect(await answerOf(ask("/v1/whoami", "GET", other).end())).toMatchObject({ status: 200, connection: "close" });
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    const [refused] = await once(ask("/v1/whoami", "GET", other).end(), "error");
    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
  });
});

describe("SIGTERM in the middle of a long export of the audit", () => {
  const head = /"type":"end"/;
  beforeAll(async () => {
    const repositories = Array.from({ length: 100 }, (_, at) => `${"long-name-of-a-team/".repeat(10)}app${at}`);
    const grants = Array.from({ length: 10 }, (_, at) => ({ registry: `r${at}.example.com`, repositories }));
    // Some ten megabytes: more than sockets hold for a client that does not read.
    for (let at = 0; at < 50; at += 1) await service.openJob(factory.name, { name: `job ${at}`, grants });
  });

  async function beginExport(url: string): Promise<IncomingMessage> {
    const headers = { "OSF-TOKEN": service.operatorToken };
    const sent = httpRequest(`${url}/v1/factories/${factory.name}/audit/export`, { headers, agent: false }).end();
    const [reply]: IncomingMessage[] = await once(sent, "response");
    if (!reply) throw new Error("a reply");
    expect(reply.statusCode).toBe(200);
    return reply;
  }

  it("lets a client that reads have all of it", async () => {
    const server = startServerProcess(settings());
    const url = await server.listening();
    let whole = "";
    await expect
      .poll(async () => {
        whole = await text(await beginExport(url));
        return whole.split("job.opened").length;
      })
      .toBe(51);
    const reply = await beginExport(url);
    await once(reply, "readable");
    server.signal("SIGTERM");
    const read = await text(reply);
    expect(read.split('"type":"event"').length).toBe(whole.split('"type":"event"').length);
    expect(read).toMatch(head);
    expect(reply.complete).toBe(true);
    expect(await server.ended).toBe(0);
  });

  it("cuts the connection of one that does not read, which sees that it has not got all, and ends", async () => {
    const server = startServerProcess(settings());
    const reply = await beginExport(await server.listening());
    await once(reply, "readable");
    const toldAt = performance.now();
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(performance.now() - toldAt).toBeLessThan(mostMs);
    await expect(text(reply)).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(reply.complete).toBe(false);
  });
});
