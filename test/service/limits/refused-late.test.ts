import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createToken } from "../../../src/identity/token.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { holdRefusals } from "./held-refusals.js";

let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService({ FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "1" });
  await service.as(service.operatorToken).get("/v1/whoami").expect(200);
  await service.as(createToken("job")).get("/v1/whoami").expect(401);
});
afterAll(() => service.close());

const requestWith = (token: string) => `GET /v1/whoami HTTP/1.1\r\nHost: x\r\nOSF-TOKEN: ${token}\r\n\r\n`;

async function everythingSaid(text: string, later = ""): Promise<{ said: string; tookMs: number }> {
  const startedAt = performance.now();
  const socket = connect(Number(new URL(service.url).port), "127.0.0.1").setEncoding("latin1");
  let said = "";
  socket.on("data", (part) => {
    said += part;
  });
  socket.write(text);
  setTimeout(() => socket.write(later), 100);
  await once(socket, "close");
  return { said, tookMs: performance.now() - startedAt };
}

it("answers a connection that floods once a second, and closes it", async () => {
  const { said, tookMs } = await everythingSaid(requestWith(createToken("job")).repeat(50));
  expect(said.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 429"]);
  expect(said).toMatch(/^Retry-After: \d+\r$/m);
  expect(tookMs).toBeGreaterThan(900);
});

it("reads the body of what it refuses, so that the answer arrives", async () => {
  const head = requestWith(createToken("job"))
    .replace("GET", "POST")
    .replace("Host: x", "Host: x\r\nContent-Length: 9");
  const { said } = await everythingSaid(head, "nine char");
  expect(said).toMatch(/^HTTP\/1\.1 429 /);
});

it("answers a good caller meanwhile without delay", async () => {
  const held = holdRefusals();
  const floods = Array.from({ length: 20 }, () => everythingSaid(requestWith(createToken("job"))));
  try {
    await expect.poll(() => held.count).toBe(20);
    for (let index = 0; index < 10; index += 1) {
      await service.as(service.operatorToken).get("/v1/whoami").expect(200);
    }
    expect(held.count).toBe(20);
  } finally {
    held.release();
  }
  for (const { said } of await Promise.all(floods)) expect(said).toMatch(/^HTTP\/1\.1 429 /);
});

it("looks at nothing that a connection sends while its answer is held back", async () => {
  const queries = vi.spyOn(service.database.pool, "query");
  const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
  socket.write(requestWith(createToken("job")));
  await sleep(200);
  const lines = service.logLines.length;
  // A good credential does not save the connection: it came too late on it.
  socket.write(requestWith(service.operatorToken));
  await once(socket.resume(), "close");
  expect(service.logLines.slice(lines).filter((line) => line.includes("whoAmI"))).toEqual([]);
  expect(queries.mock.calls.filter(([sql]) => JSON.stringify(sql).includes("caller"))).toEqual([]);
  vi.restoreAllMocks();
});
