import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createToken } from "../../../src/identity/token.js";
import { AuthenticationFailures } from "../../../src/limits/authentication-failures.js";
import { limitedAddress } from "../../../src/limits/limited-address.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const perMinute = 5;
let service: TestService;
let factory: string;
beforeAll(async () => {
  service = await startOwnTestService({
    FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: String(perMinute),
    FACTORY_SECRETS_TRUSTED_PROXIES: "127.0.0.1",
  });
  factory = (await service.createFactory()).name;
});
afterAll(() => service.close());

const whoAmI = async (token: string | undefined, address: string | undefined) => {
  const request = service.as(token).get("/v1/whoami");
  return address === undefined ? request : request.set("X-Forwarded-For", address);
};

/** Uses up what the address may fail. */
async function fail(address: string): Promise<void> {
  for (let index = 0; index < perMinute; index += 1) {
    expectProblem(await whoAmI(createToken("job"), address), "unauthenticated");
  }
}

const newToken = async () => (await service.createApiToken(factory, ["secrets:list"])).token;

describe("an address that has sent too many bad credentials", () => {
  it("is told to wait, and others are not", async () => {
    await fail("192.0.2.1");
    const refused = await whoAmI(createToken("job"), "192.0.2.1");
    expectProblem(refused, "too-many-requests");
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(Number(refused.headers["retry-after"])).toBeLessThanOrEqual(60);
    expectProblem(await whoAmI(createToken("job"), "192.0.2.2"), "unauthenticated");
  });

  it("does not lock out whoever sits behind it with a credential that has worked before", async () => {
    const [known, unknown] = [await newToken(), await newToken()];
    expect((await whoAmI(known, "198.51.100.9")).status).toBe(200);
    await fail("192.0.2.3");
    expect((await whoAmI(known, "192.0.2.3")).status).toBe(200);
    expectProblem(await whoAmI(unknown, "192.0.2.3"), "too-many-requests");
    expect((await whoAmI(unknown, "198.51.100.9")).status).toBe(200);
    expect((await whoAmI(unknown, "192.0.2.3")).status).toBe(200);
  });

  it("still gets what needs no credential", async () => {
    await fail("192.0.2.4");
    await service.as(undefined).get("/healthz").set("X-Forwarded-For", "192.0.2.4").expect(200);
    expectProblem(await whoAmI(undefined, "192.0.2.4"), "unauthenticated");
  });

  it("is refused whatever it sends as a token, without a query and without a line in the log", async () => {
    await fail("192.0.2.5");
    const queries = vi.spyOn(service.database.pool, "query");
    const lines = service.logLines.length;
    const before = await limited();
    const bad = [createToken("job"), "fsj_short", "a.b.c", "garbage", `${createToken("operator")}x`];
    for (const token of bad) expectProblem(await whoAmI(token, "192.0.2.5"), "too-many-requests");
    const basic = service.as(undefined).get("/v1/whoami").set("X-Forwarded-For", "192.0.2.5");
    expectProblem(await basic.set("Authorization", "Bearer !"), "too-many-requests");
    // What runs by itself meanwhile (the poll of generations, the sealer, the keys' upkeep) reads none of these.
    const own = /caller-by|rules-of-factory|signing-keys|oauth|oidc|device|SELECT .*credentials/;
    expect(queries.mock.calls.filter(([sql]) => own.test(JSON.stringify(sql)))).toEqual([]);
    expect(service.logLines.slice(lines).filter((line) => line.includes("whoAmI"))).toEqual([]);
    // The text of the metrics is remembered for a second.
    await expect.poll(async () => (await limited()) - before).toBe(bad.length + 1);
    vi.restoreAllMocks();
  });

  it("is refused with a random request id, whatever the client sent", async () => {
    await fail("192.0.2.9");
    const { requestId } = expectProblem(await whoAmI(createToken("job"), "192.0.2.9"), "too-many-requests");
    expect(requestId).toMatch(/^[0-9a-f]{32}$/);
    const request = service.as(createToken("job")).get("/v1/whoami").set("X-Forwarded-For", "192.0.2.9");
    const named = await request.set("X-Request-Id", "build-7");
    expect(named.headers["x-request-id"]).toBe(named.body.requestId);
    expect(named.body.requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("is not kept from the token endpoint, which has a limit of its own", async () => {
    await fail("192.0.2.6");
    const request = service.as(undefined).get("/v1/whoami").set("X-Forwarded-For", "192.0.2.6");
    expectProblem(await request.set("Authorization", "Basic Y2xpZW50OnNlY3JldA=="), "unauthenticated");
  });

  it("is not the proxy that everybody comes through, when it names nobody", async () => {
    for (let index = 0; index < 2 * perMinute; index += 1) {
      expectProblem(await whoAmI(createToken("job"), undefined), "unauthenticated");
    }
  });

  it("is an IPv6 subscriber with all of a /64", async () => {
    for (let index = 0; index < perMinute; index += 1) await whoAmI("fsj_x", `2001:db8:0:1::${index}`);
    expectProblem(await whoAmI("fsj_x", "2001:db8:0:1:ffff::1"), "too-many-requests");
    expectProblem(await whoAmI("fsj_x", "2001:db8:0:2::1"), "unauthenticated");
  });
});

async function limited(): Promise<number> {
  const { text } = await service.as(undefined).get("/metrics");
  return Number(/limited_requests_total\{limit="authentication-failures"\} (\d+)/.exec(text)?.[1] ?? 0);
}

describe("what an address is counted as", () => {
  const of = limitedAddress(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:DB9:0:1:0:0:0:5", "2001:db9:0:1::/64"],
    ["2001:db9:0:1:ffff::", "2001:db9:0:1::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["192.0.2.1:51234", "192.0.2.1"],
    ["[2001:db9:0:1::5]:51234", "2001:db9:0:1::/64"],
    ["[2001:db9:0:1::5]", "2001:db9:0:1::/64"],
    ["10.1.2.3:51234", undefined],
    ["10.1.2.3", undefined],
    ["::ffff:10.1.2.3", undefined],
    ["192.0.2.7", undefined],
    ["2001:db8:1::1", undefined],
    ["", undefined],
    ["unknown", undefined],
  ])("%s is %s", (address, counted) => {
    expect(of(address)).toBe(counted);
  });
});

describe("the count of failures", () => {
  it("begins anew after a minute", async () => {
    vi.useFakeTimers();
    try {
      const failures = new AuthenticationFailures({ perMinute: 2, limitedAddress: limitedAddress([]) });
      await failures.failed("192.0.2.1");
      await vi.advanceTimersByTimeAsync(30_000);
      expect(failures.isQuiet).toBe(true);
      await failures.failed("192.0.2.1");
      expect(failures.refusalOf("192.0.2.1")).toMatchObject({ retryAfterSeconds: 30 });
      await vi.advanceTimersByTimeAsync(31_000);
      expect([failures.isQuiet, failures.refusalOf("192.0.2.1")]).toEqual([true, undefined]);
      await failures.failed("192.0.2.1");
      expect(failures.isQuiet).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it("of many addresses is kept within bounds", async () => {
    const failures = new AuthenticationFailures({ perMinute: 2, limitedAddress: limitedAddress([]) });
    await failures.failed("192.0.2.1");
    for (let index = 0; index < 20_000; index += 1) await failures.failed(`10.1.${index >> 8}.${index & 255}`);
    // Forgotten in favour of the newer ones, and so its second failure is its first.
    await failures.failed("192.0.2.1");
    expect(failures.isQuiet).toBe(true);
  });

  it("is not made where there is no limit", async () => {
    const failures = new AuthenticationFailures({ perMinute: 0, limitedAddress: limitedAddress([]) });
    for (let index = 0; index < 100; index += 1) await failures.failed("192.0.2.1");
    expect(failures.refusalOf("192.0.2.1")).toBeUndefined();
  });
});
