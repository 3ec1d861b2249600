import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createToken } from "../../../src/identity/token.js";
import { routes } from "../../../src/service/routes.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { pathOfRoute, titleOfRoute } from "./route-path.js";

const factory = "unread-bodies";
const huge = 2_000_000_000;
/** What a refused client is read of at most: 2 MiB, and what waits in buffers on the way. */
const mostRead = 16 * 1024 * 1024;

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
  await service.createFactory(factory);
});
afterAll(() => service.close());

type Connection = { socket: Socket; said: () => string; closed: Promise<void> };

function open(head: readonly string[]): Connection {
  const socket = connect(Number(new URL(service.url).port), "127.0.0.1").setEncoding("latin1");
  let said = "";
  socket.on("data", (part) => {
    said += part;
  });
  socket.on("error", () => undefined);
  socket.write(`${[...head, "Host: x"].join("\r\n")}\r\n\r\n`);
  return { socket, said: () => said, closed: new Promise<void>((resolve) => socket.once("close", () => resolve())) };
}

const statusOf = ({ said }: Connection): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(said())?.[1]);

/** Sends without end until the connection closes. Gives how many bytes the other side took. */
async function pour({ socket, closed }: Connection, chunk: Buffer): Promise<number> {
  let isOpen = true;
  void closed.then(() => {
    isOpen = false;
  });
  for (let at = 0; isOpen && at < 20_000; at += 1) {
    if (!socket.write(chunk)) await Promise.race([once(socket, "drain").catch(() => undefined), closed]);
  }
  await closed;
  return socket.bytesWritten;
}

const lineOf = (route: (typeof routes)[number]) =>
  `${route.method.toUpperCase()} ${pathOfRoute(route, factory)} HTTP/1.1`;

it("every route answers a stranger who announces two gigabytes, and closes", async () => {
  await Promise.all(
    routes.map(async (route) => {
      const connection = open([lineOf(route), `Content-Length: ${huge}`]);
      await connection.closed;
      const title = titleOfRoute(route);
      expect(connection.said(), title).toMatch(/^Connection: close\r$/im);
      expect(statusOf(connection), title).not.toBe(500);
      if (route.auth === "signature" || (route.auth === "anyone" && route.body)) {
        expect(statusOf(connection), title).toBe(413);
      } else if (route.auth !== "anyone") expect([400, 401, 403], title).toContain(statusOf(connection));
    }),
  );
});

it("no route sends 100 Continue to a client that it refuses", async () => {
  await Promise.all(
    routes.map(async (route) => {
      const connection = open([lineOf(route), `Content-Length: ${huge}`, "Expect: 100-continue"]);
      await connection.closed;
      expect(connection.said(), titleOfRoute(route)).not.toContain("100 Continue");
      expect(statusOf(connection), titleOfRoute(route)).toBeGreaterThanOrEqual(200);
    }),
  );
});

describe("a client that is refused and sends on", () => {
  it.each([
    ["with a length", [`Content-Length: ${huge}`], Buffer.alloc(64 * 1024, "x")],
    ["in chunks", ["Transfer-Encoding: chunked"], Buffer.from(`10000\r\n${"x".repeat(65_536)}\r\n`)],
  ])("%s, is answered and read no further", async (_what, headers, chunk) => {
    for (const path of [
      "POST /oauth/token",
      `PUT /v1/factories/${factory}/config`,
      "POST /nowhere",
      "PATCH /healthz",
    ]) {
      const connection = open([`${path} HTTP/1.1`, ...headers]);
      expect(await pour(connection, chunk)).toBeLessThan(mostRead);
      expect(statusOf(connection)).toBeGreaterThanOrEqual(400);
    }
  });

  it("with a credential, beyond what the route takes", async () => {
    const put = `PUT /v1/factories/${factory}/config HTTP/1.1`;
    const token = `OSF-TOKEN: ${service.operatorToken}`;
    const connection = open([put, token, "Transfer-Encoding: chunked"]);
    const chunk = Buffer.from(`10000\r\n${"x".repeat(65_536)}\r\n`);
    expect(await pour(connection, chunk)).toBeLessThan(mostRead);
    expect(statusOf(connection)).toBe(413);
    const packed = gzipSync(Buffer.alloc(3_000_000));
    const bomb = open([put, token, "Content-Encoding: gzip", `Content-Length: ${packed.length}`]);
    bomb.socket.write(packed);
    await expect.poll(() => statusOf(bomb)).toBe(413);
    bomb.socket.destroy();
  });

  it("and reads only when it has sent everything, still finds the answer", async () => {
    const { port } = new URL(service.url);
    const socket = connect(Number(port), "127.0.0.1");
    const length = 1024 * 1024;
    socket.write(`POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
    await new Promise<void>((resolve) => socket.write(Buffer.alloc(length, "x"), () => resolve()));
    await sleep(100);
    const [first] = await once(socket.setEncoding("latin1"), "data");
    expect(first).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });
});

describe("a client that waits for 100 Continue", () => {
  const body = JSON.stringify({ value: "not-a-real-secret-1" });
  const path = `/v1/factories/${factory}/secrets/waited_for`;
  const head = (token: string) => [
    `PUT ${path} HTTP/1.1`,
    `OSF-TOKEN: ${token}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    "Expect: 100-continue",
  ];

  it("gets it once it may send, and then its answer", async () => {
    const connection = open(head(service.operatorToken));
    await expect.poll(connection.said).toContain("HTTP/1.1 100 Continue\r\n\r\n");
    connection.socket.write(body);
    await expect.poll(connection.said).toContain("HTTP/1.1 201 Created");
    connection.socket.destroy();
  });

  it("gets 401 and no 100 with a credential that is not valid", async () => {
    const connection = open(head(createToken("job")));
    await connection.closed;
    expect(connection.said()).toMatch(/^HTTP\/1\.1 401 /);
    expect(connection.said()).not.toContain("100 Continue");
  });
});

it("a connection whose small body has arrived stays open after a refusal", async () => {
  const body = "{}";
  const connection = open([`PUT /v1/factories/${factory}/secrets/x HTTP/1.1`, `Content-Length: 0`]);
  await expect.poll(() => statusOf(connection)).toBe(401);
  const second = `PUT /v1/factories/${factory}/secrets/x HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  connection.socket.write(second);
  await expect.poll(() => connection.said().match(/HTTP\/1\.1 401/g)?.length).toBe(2);
  expect(connection.said()).not.toMatch(/^Connection: close/im);
  connection.socket.destroy();
});
