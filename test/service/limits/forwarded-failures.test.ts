import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { register } from "../../support/devices/device-service.js";
import { watched } from "../../support/leak-watch.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const perMinute = 3;
const proof = watched("not-a-real-secret-device-proxy-111111111");
const behindProxy = {
  FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: String(perMinute),
  FACTORY_SECRETS_DEVICE_PROXIES: "127.0.0.1",
  FACTORY_SECRETS_DEVICE_PROXY_SECRET: proof,
};

let service: TestService;
let nameless: TestService;
let known: string;
let unknown: string;
let bad: string;
beforeAll(async () => {
  service = await startOwnTestService({ ...behindProxy, FACTORY_SECRETS_TRUSTED_PROXIES: "127.0.0.1" });
  nameless = await startTestService(behindProxy, service);
  const factory = await service.createFactory();
  const root = await makeRoot();
  await register(service, factory, { certificates: [root] });
  const make = async (issuer: typeof root) => encodeURIComponent((await makeDevice(issuer, factory.name)).pem);
  [known, unknown, bad] = [await make(root), await make(root), await make(await makeRoot())];
});
afterAll(async () => {
  await nameless.close();
  await service.close();
});

const ask = (where: TestService, certificate: string, address: string, sentProof = proof) =>
  where
    .as(undefined)
    .get("/v1/whoami")
    .set("X-Forwarded-Client-Cert", `Cert="${certificate}"`)
    .set("X-Device-Proxy-Secret", sentProof)
    .set("X-Forwarded-For", address);

it("refuses forwarded certificates of an address that has failed too often, without a query", async () => {
  expect((await ask(service, known, "192.0.2.1")).status).toBe(200);
  for (const sent of [bad, bad, "no certificate"])
    expectProblem(await ask(service, sent, "192.0.2.1"), "unauthenticated");
  const queries = vi.spyOn(service.database.prisma, "$queryRawUnsafe");
  const refused = await ask(service, bad, "192.0.2.1");
  expectProblem(refused, "too-many-requests");
  expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  expectProblem(await ask(service, "no certificate", "192.0.2.1"), "too-many-requests");
  expectProblem(await ask(service, unknown, "192.0.2.1"), "too-many-requests");
  expectProblem(await ask(service, known, "192.0.2.1", "x".repeat(40)), "too-many-requests");
  // The sealer and the keys' upkeep ask by themselves meanwhile.
  expect(queries.mock.calls.filter(([sql]) => /device|caller-by/.test(sql))).toEqual([]);
  vi.restoreAllMocks();
  expect((await ask(service, known, "192.0.2.1")).status).toBe(200);
  expect((await ask(service, unknown, "192.0.2.2")).status).toBe(200);
});

it("never counts the address of a proxy that stands for all devices", async () => {
  for (let index = 0; index < 3 * perMinute; index += 1) {
    expectProblem(await ask(nameless, bad, "192.0.2.3"), "unauthenticated");
  }
  expect((await ask(nameless, unknown, "192.0.2.3")).status).toBe(200);
});
