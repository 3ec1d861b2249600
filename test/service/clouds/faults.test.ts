import { connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CloudEndpoint } from "../../support/clouds/cloud-endpoint.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";

const host = "registry.example.test";

let clouds: StandInClouds;
let registry: CloudEndpoint;

beforeEach(async () => {
  clouds = await startStandInClouds();
  registry = clouds.docker.addRegistry({ host, users: {} }).registry;
});

afterEach(() => clouds.close());

const ask = () => clouds.request({ host, path: "/v2/" });

describe("an endpoint that is told to fail", () => {
  test("throttles, breaks down or answers nonsense, as often as it was told", async () => {
    registry.fail("throttle", 2);
    expect(await ask()).toMatchObject({ status: 429, headers: { "retry-after": "7" } });
    expect((await ask()).status).toBe(429);
    expect((await ask()).status).toBe(401);
    registry.fail("server-error", 1);
    expect((await ask()).status).toBe(500);
    registry.fail("garbage", 1);
    expect((await ask()).body).toContain("neither JSON nor XML");
    registry.fail("empty-object", 1);
    expect((await ask()).body).toBe("{}");
    registry.fail("huge", 1);
    expect((await ask()).body.length).toBeGreaterThan(1_048_576);
    expect(registry.calls("GET /v2/")).toBe(7);
  });

  test("drops the connection before an answer and in the middle of one", async () => {
    registry.fail("drop", 1);
    await expect(ask()).rejects.toMatchObject({ code: "ECONNRESET" });
    registry.fail("half", 1);
    await expect(ask()).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  test("stalls, and does not stand in the way of closing", async () => {
    registry.fail("stall");
    const refused = expect(ask()).rejects.toMatchObject({ code: "ECONNRESET" });
    await registry.received(1);
    const others = await startStandInClouds();
    await clouds.close();
    await refused;
    clouds = others;
  });

  test("heals", async () => {
    registry.fail("server-error");
    expect((await ask()).status).toBe(500);
    registry.heal();
    expect((await ask()).status).toBe(401);
  });
});

test("an endpoint that is held answers nobody until it is released", async () => {
  const hold = registry.hold();
  const answered: number[] = [];
  const asked = [ask(), ask()].map((answer) => answer.then(({ status }) => answered.push(status)));
  await registry.received(2);
  expect(answered).toEqual([]);
  hold.release();
  await Promise.all(asked);
  expect(answered).toEqual([401, 401]);
});

test("a Host header that does not agree with the handshake is refused", async () => {
  clouds.docker.addAttacker("attacker.example.test");
  const answer = await clouds.request({ host, path: "/v2/", headers: { host: "attacker.example.test" } });
  expect(answer.status).toBe(421);
});

test("no handshake for a host that has no stand-in", async () => {
  const socket = connect({ host: "127.0.0.1", port: clouds.port, servername: "nobody.example.test", ca: clouds.caPem });
  const failure = await new Promise((resolve) => socket.once("error", resolve).once("secureConnect", resolve));
  expect(failure).toBeInstanceOf(Error);
});

test("the connect-to setting names every host, also those added later", () => {
  expect(clouds.connectTo).toContain(`sts.us-east-2.amazonaws.com:443=127.0.0.1:${clouds.port}`);
  clouds.azure.addRegistry("later");
  expect(clouds.connectTo.split(",")).toContain(`later.azurecr.io:443=127.0.0.1:${clouds.port}`);
});
