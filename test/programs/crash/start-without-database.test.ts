import { createServer, type Server } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from "vitest";
import { freePort } from "../../support/free-port.js";
import { type OwnPostgres, startOwnPostgres } from "../failures/own-postgres.js";
import { endServerProcesses, type ServerProcess, startServerProcess } from "./server-process.js";

let own: OwnPostgres;
beforeAll(async () => {
  own = await startOwnPostgres();
});
afterAll(() => own.close());
afterEach(endServerProcesses);

async function startOn(databaseUrl: string): Promise<{ server: ServerProcess; url: string }> {
  const port = String(await freePort());
  const server = startServerProcess({ DATABASE_URL: databaseUrl, FACTORY_SECRETS_KEY: own.key, PORT: port });
  return { server, url: `http://127.0.0.1:${port}` };
}

const statusOf = (url: string): Promise<number> =>
  fetch(url).then(
    ({ status }) => status,
    () => 0,
  );

/** The way to the service's database, with another host, password or name. */
const altered = (change: Partial<Record<"hostname" | "port" | "password" | "pathname" | "search", string>>): string =>
  Object.assign(new URL(own.url), change).href;

/** Says 57P03 to every client, as a Postgres does that is starting. */
async function startingPostgres(port: number): Promise<Server> {
  const fields = ["SFATAL", "VFATAL", "C57P03", "Mthe database system is starting up"];
  const body = Buffer.from(`${fields.map((field) => `${field}\0`).join("")}\0`, "latin1");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(Buffer.concat([Buffer.from("E"), length, body])));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

describe("a start while the database is away", () => {
  it("waits, says what it waits for, is alive and not ready, and comes up with the database", async () => {
    await own.stop();
    const { server, url } = await startOn(own.url);
    await expect.poll(() => statusOf(`${url}/readyz`)).toBe(503);
    expect(await statusOf(`${url}/healthz`)).toBe(200);
    const reply = await fetch(`${url}/readyz`);
    expect(await reply.json()).toMatchObject({ status: "not-ready", checks: [{ name: "database", ok: false }] });
    const refused = await fetch(`${url}/v1/factories`);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(server.said()).toMatch(
      /The database at 127\.0\.0\.1:\d+, which DATABASE_URL names, does not answer.*Waiting/,
    );
    await own.start();
    await server.listening();
    expect(await statusOf(`${url}/readyz`)).toBe(200);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
  });

  it("waits while nothing listens, then while Postgres starts, and says each once", async () => {
    const port = await freePort();
    const { server, url } = await startOn(altered({ port: String(port) }));
    await expect.poll(() => server.said()).toContain("refuses connections");
    const starting = await startingPostgres(port);
    await expect.poll(() => server.said()).toContain("is starting up or shutting down");
    expect(await statusOf(`${url}/healthz`)).toBe(200);
    expect(server.said().match(/refuses connections/g)).toHaveLength(1);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    starting.close();
  });

  test.each([
    ["a name that does not resolve", { hostname: "database.invalid" }, /does not resolve/],
    ["a server without TLS", { search: "?sslmode=require" }, /does not speak TLS/],
  ])("waits for %s, and ends when it is told to", async (_name, change, sentence) => {
    const { server } = await startOn(altered(change));
    await expect.poll(() => server.said()).toMatch(sentence);
    expect(server.said()).not.toMatch(/\n\s+at /);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
  });
});

describe("what nobody but a person sets right", () => {
  test.each([
    ["a wrong password", { password: "not-a-real-password" }, /refuses this user or password/],
    ["a missing database", { pathname: "/nothing-here" }, /has no database named nothing-here/],
  ])("ends the start at once: %s", async (_name, change, sentence) => {
    const { server } = await startOn(altered(change));
    expect(await server.ended).toBe(1);
    expect(server.said()).toMatch(sentence);
    expect(server.said()).not.toContain("not-a-real-password");
    expect(server.said()).not.toMatch(/Waiting|\n\s+at /);
  });
});
