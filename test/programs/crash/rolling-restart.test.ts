import { request as httpRequest } from "node:http";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../support/free-port.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { startReadinessProxy } from "./readiness-proxy.js";
import { endServerProcesses, type ServerProcess, startServerProcess } from "./server-process.js";

const isLong = process.env.FACTORY_SECRETS_TEST_LONG === "1";
const wantedRequests = isLong ? 10_000 : 500;
const drainSeconds = isLong ? 5 : 1;
const clients = 8;
/** Longer than any drain that a test could wait for by mistake. */
const endlessSeconds = 300;

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
  await service.createFactory("acme");
});
afterEach(endServerProcesses);
afterAll(() => service.close());

const settings = (port: number, seconds: number): Record<string, string> => ({
  DATABASE_URL: service.databaseUrl,
  FACTORY_SECRETS_KEY: service.key,
  PORT: String(port),
  FACTORY_SECRETS_DRAIN_SECONDS: String(seconds),
});

async function startAt(port: number, seconds: number): Promise<ServerProcess> {
  const server = startServerProcess(settings(port, seconds));
  await server.listening();
  return server;
}

const headers = () => ({ "osf-token": service.operatorToken, "content-type": "application/json" });

it(`rolling restarts behind a proxy that looks at /readyz drop none of ${wantedRequests} requests`, async () => {
  const ports = [await freePort(), await freePort()];
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const replicas = await Promise.all(ports.map((port) => startAt(port, drainSeconds)));
  const proxy = await startReadinessProxy(urls);
  const agent = new Agent({ connections: clients });
  const statuses = new Map<number, number>();
  let asked = 0;
  let restarts = 0;
  const isDone = (): boolean => asked >= wantedRequests && restarts >= 2 * ports.length;
  const ask = async (client: number): Promise<void> => {
    while (!isDone()) {
      asked += 1;
      const isWrite = asked % 2 === 0;
      const reply = await request(`${proxy.url}/v1/factories/acme/secrets${isWrite ? `/s${client}` : ""}`, {
        dispatcher: agent,
        headers: headers(),
        ...(isWrite ? { method: "PUT", body: JSON.stringify({ value: secretValue() }) } : {}),
      });
      await reply.body.dump();
      statuses.set(reply.statusCode, (statuses.get(reply.statusCode) ?? 0) + 1);
    }
  };
  const restartAll = async (): Promise<void> => {
    while (!isDone()) {
      for (const [index, port] of ports.entries()) {
        replicas[index]?.signal("SIGTERM");
        expect(await replicas[index]?.ended).toBe(0);
        replicas[index] = await startAt(port, drainSeconds);
        await expect.poll(() => proxy.uses(`http://127.0.0.1:${port}`)).toBe(true);
        restarts += 1;
      }
    }
  };
  await Promise.all([restartAll(), ...Array.from({ length: clients }, (_, client) => ask(client))]);
  await agent.close();
  await proxy.close();
  expect([...statuses.keys()].filter((status) => status !== 200 && status !== 201)).toEqual([]);
  expect(asked).toBeGreaterThanOrEqual(wantedRequests);
});

const readiness = async (url: string) => {
  const reply = await fetch(`${url}/readyz`);
  const body: { checks: { name: string; ok: boolean }[] } = JSON.parse(await reply.text());
  return { status: reply.status, connection: reply.headers.get("connection"), body };
};

describe("after SIGTERM", () => {
  it("every answer closes its connection, /readyz says draining, and nothing is refused", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const server = await startAt(port, endlessSeconds);
    expect(await readiness(url)).toMatchObject({ status: 200, connection: "keep-alive" });
    // Its body is still on the way when the signal comes.
    const inFlight = httpRequest(`${url}/v1/factories/acme/secrets/slow`, { method: "PUT", headers: headers() });
    inFlight.write('{"value":');
    server.signal("SIGTERM");
    await expect.poll(() => readiness(url)).toMatchObject({ status: 503, connection: "close" });
    const { body } = await readiness(url);
    expect(body.checks.filter(({ ok }) => !ok)).toEqual([
      { name: "draining", ok: false, reason: expect.stringMatching(/stop/) },
    ]);
    const answered = new Promise<{ status: number; connection: string }>((resolve) => {
      inFlight.on("response", ({ statusCode = 0, headers: { connection = "" } }) =>
        resolve({ status: statusCode, connection }),
      );
    });
    inFlight.end(`${JSON.stringify(secretValue())}}`);
    expect(await answered).toEqual({ status: 201, connection: "close" });
    const list = await fetch(`${url}/v1/factories`, { headers: headers() });
    expect([list.status, list.headers.get("connection")]).toEqual([200, "close"]);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const toldAt = performance.now();
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(performance.now() - toldAt).toBeLessThan((endlessSeconds / 2) * 1_000);
  });

  it("the port of the metrics drains with the others", async () => {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const all = { ...settings(port, endlessSeconds), FACTORY_SECRETS_METRICS_PORT: String(metricsPort) };
    const server = startServerProcess(all);
    const url = await server.listening();
    server.signal("SIGTERM");
    await expect.poll(() => readiness(url)).toMatchObject({ status: 503 });
    const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
    expect([metrics.status, metrics.headers.get("connection")]).toEqual([200, "close"]);
    server.signal("SIGINT");
    expect(await server.ended).toBe(0);
  });
});

it("SIGINT, a person's Ctrl-C, does not drain", async () => {
  const server = await startAt(await freePort(), endlessSeconds);
  server.signal("SIGINT");
  expect(await server.ended).toBe(0);
});
