import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordText } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

/** Sends these bytes on a connection of their own, and gives all that comes back until the server closes it. */
function exchange(bytes: string): Promise<{ status: number; contentType: string | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(service.url);
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(bytes, "latin1"));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => {
      const reply = Buffer.concat(chunks).toString("utf8");
      recordText(reply);
      const [head = "", body = ""] = reply.split("\r\n\r\n", 2);
      const contentType = /^content-type: (.*)$/im.exec(head)?.[1];
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), contentType, body });
    });
  });
}

function expectRawProblem(reply: Awaited<ReturnType<typeof exchange>>, status: number, code: string) {
  expect([reply.status, reply.contentType]).toEqual([status, "application/problem+json"]);
  const problem = JSON.parse(reply.body);
  expect(problem).toMatchObject({ type: `urn:factory-secrets:problem:${code}`, status, code, message: problem.detail });
  expect(problem).toMatchObject({ title: expect.any(String), requestId: expect.any(String) });
}

const secret = "not-a-real-secret-on-the-wire";

describe("what is no HTTP request", () => {
  it.each([
    ["garbage", `${secret}\r\n\r\n`],
    ["a version of HTTP that does not exist", `GET /${secret} HTTP/9.9\r\nHost: a\r\n\r\n`],
    ["a header without a colon", `GET / HTTP/1.1\r\nHost: a\r\n${secret}\r\n\r\n`],
    ["a space before the colon", `GET / HTTP/1.1\r\nHost: a\r\nOSF-TOKEN : ${secret}\r\n\r\n`],
    [
      "two lengths",
      `POST /v1/factories HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n${secret}`,
    ],
    [
      "a length beside chunks",
      `POST /v1/factories HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ["a length that is no number", `POST /v1/factories HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n`],
    ["TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1"],
    ["no Host", "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"],
    ["two Hosts", `GET /healthz HTTP/1.1\r\nHost: a\r\nhost: ${secret}\r\n\r\n`],
    ["two Authorizations", `GET /healthz HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nauthorization: ${secret}\r\n\r\n`],
    ["two Hosts in HTTP/1.0", `GET /healthz HTTP/1.0\r\nHost: a\r\nHost: ${secret}\r\n\r\n`],
  ])("is answered 400 for %s, and nothing of it is repeated", async (_what, bytes) => {
    const reply = await exchange(bytes);
    expectRawProblem(reply, 400, "invalid-request");
    expect(reply.body).not.toContain(secret);
  });

  it("is answered 417 for an expectation that nobody knows", async () => {
    const reply = await exchange(`GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: ${secret}\r\n\r\n`);
    expectRawProblem(reply, 417, "expectation-failed");
    expect(reply.body).not.toContain(secret);
  });

  it("is answered 431 for headers beyond 48 KiB, and up to that they are read", async () => {
    const request = (bytes: number) =>
      `GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ${"x".repeat(bytes)}\r\n\r\n`;
    expectRawProblem(await exchange(request(50 * 1024)), 431, "header-too-large");
    expect((await exchange(request(40 * 1024))).status).toBe(200);
  });

  it("is answered 431 for more than 200 headers, of which none is left out in silence", async () => {
    const request = (count: number) =>
      `GET /healthz HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(count - 2)}Connection: close\r\n\r\n`;
    for (const count of [201, 5_000]) expectRawProblem(await exchange(request(count)), 431, "header-too-large");
    expect((await exchange(request(200))).status).toBe(200);
  });

  it("is answered 431 for a path beyond that too", async () => {
    const reply = await exchange(`GET /${"x".repeat(60 * 1024)} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expectRawProblem(reply, 431, "header-too-large");
  });
});

describe("X-Request-Id", () => {
  const clientIdIn = (line: string | undefined): unknown => JSON.parse(line ?? "{}").clientRequestId;

  it.each([
    ["in the log when it is a plain one", "build-42.7_a", "build-42.7_a"],
    ["dropped when it is long", "x".repeat(65), undefined],
    ["dropped when it could break a log", 'a"b', undefined],
  ])("of the client is %s, and never sent back", async (_what, id, logged) => {
    const { headers } = await service.as(undefined).get("/healthz").set("X-Request-Id", id);
    const ours = headers["x-request-id"] ?? "";
    expect(ours).toMatch(/^[0-9a-f]{32}$/);
    expect(JSON.stringify(headers)).not.toContain(id);
    expect(clientIdIn(service.logLines.find((line) => line.includes(ours)))).toBe(logged);
  });

  it("is random: no id tells how many requests there were", async () => {
    const ids = new Set<string>();
    for (let round = 0; round < 20; round += 1) {
      ids.add((await service.as(undefined).get("/healthz")).headers["x-request-id"] ?? "");
    }
    expect(ids.size).toBe(20);
    // A counter or a common part would leave most digits as they are. Two random ids share about 2 of 32.
    const [first = "", ...others] = ids;
    const shared = others.map((id) => [...id].filter((digit, at) => digit === first[at]).length);
    expect(Math.max(...shared)).toBeLessThan(14);
  });
});
