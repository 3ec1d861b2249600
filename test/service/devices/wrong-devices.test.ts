import { Agent } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deviceRoutes, routes } from "../../../src/service/routes.js";
import {
  type Issued,
  makeDevice,
  makeIntermediate,
  makeRevocationList,
  makeRoot,
} from "../../support/devices/device-certificates.js";
import { makeServerFiles, putRevocationLists, register, whoAmI } from "../../support/devices/device-service.js";
import { hoursFromNow } from "../../support/devices/refused-device.js";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { pathOfRoute, titleOfRoute } from "../http/route-path.js";

type WalkedRoute = (typeof routes)[number];

const own = "wrong-devices-own";
const proof = watched("not-a-real-secret-device-proxy-222222222");
let files: Awaited<ReturnType<typeof makeServerFiles>>;
let service: TestService;
/** Certificates that are worth nothing, and why. */
let invalid: Record<string, Issued>;
let good: Issued;
let foreign: Issued;

beforeAll(async () => {
  files = await makeServerFiles();
  // Through a proxy devices come to every route; their own listener has but three.
  service = await startTestService({
    ...files.environment,
    FACTORY_SECRETS_DEVICE_PROXIES: "127.0.0.1",
    FACTORY_SECRETS_DEVICE_PROXY_SECRET: proof,
  });
  const factory = await service.createFactory(own);
  const other = await service.createFactory("wrong-devices-other");
  const root = await makeRoot();
  const authority = await register(service, factory, { certificates: [root] });
  const otherRoot = await makeRoot();
  await register(service, other, { certificates: [otherRoot] });
  good = await makeDevice(root, own);
  foreign = await makeDevice(otherRoot, other.name);
  const denied = await makeDevice(root, own);
  const denials = `/v1/factories/${own}/denied-devices`;
  await service.as(service.operatorToken).post(denials).send({ deviceId: denied.id }).expect(201);
  const revoked = await makeDevice(root, own);
  await putRevocationLists(service, factory, { authority, lists: [await makeRevocationList(root, [revoked.serial])] });
  invalid = {
    "an expired one": await makeDevice(root, own, { notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) }),
    "one that is not valid yet": await makeDevice(root, own, { notBefore: hoursFromNow(1) }),
    "a revoked one": revoked,
    "a denied device's": denied,
    "one of an authority that nobody has registered": await makeDevice(await makeRoot(), own),
    "one whose intermediate does not come with it": await makeDevice(await makeIntermediate(root), own),
    "one of another factory's authority": await makeDevice(otherRoot, own),
    "one of this authority for another factory": await makeDevice(root, other.name),
    "the authority's own": root,
  };
});
afterAll(async () => {
  await service.close();
  await files.remove();
});

function call(route: WalkedRoute, device: Issued, factory = own) {
  const agent = service
    .as(undefined)
    .set("X-Forwarded-Client-Cert", `Cert="${encodeURIComponent(device.pem)}"`)
    .set("X-Device-Proxy-Secret", proof);
  return agent[route.method](pathOfRoute(route, factory));
}

/** The body without what differs from request to request. */
const lasting = ({ requestId: _requestId, ...body }: Record<string, unknown>): unknown => body;

// Who signs as AWS's programs do shows no certificate, and what only devices come for is walked in test/service/aws/.
const guarded = routes.filter(({ auth }) => auth !== "anyone" && auth !== "signature" && auth !== "device");

describe.concurrent.each(guarded.map((route) => [titleOfRoute(route), route] as const))("%s", (_title, route) => {
  it("answers every certificate that is worth nothing one and the same 401, whatever the factory", async () => {
    // At once: each refusal takes a tenth of a second.
    const asked = Object.values(invalid).flatMap((device) =>
      [own, "no-such-factory"].map((factory) => call(route, device, factory)),
    );
    const bodies = (await Promise.all(asked)).map((reply) => lasting(expectProblem(reply, "unauthenticated")));
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1);
  });

  if (route.auth === "any-caller") {
    it("answers any device", async () => {
      for (const device of [good, foreign]) expect((await call(route, device)).status).toBe(200);
    });
    return;
  }

  if (route.auth !== "operator") {
    it("answers another factory's device the 404 of a factory that does not exist", async () => {
      const here = lasting(expectProblem(await call(route, foreign), "not-found"));
      expect(lasting(expectProblem(await call(route, foreign, "no-such-factory"), "not-found"))).toEqual(here);
    });
  }

  // What a device may ask for, it may ask about.
  if (["issueRegistryTokens", "checkReferences", "getAwsCredentials", "makeJobAwsKeys"].includes(route.id)) return;
  it("refuses a device", async () => {
    expectProblem(await call(route, good), "forbidden");
  });
});

it("has on the listener for devices nothing but what they come for", async () => {
  expect(deviceRoutes.map(({ id }) => id).toSorted()).toEqual([
    "getHealth",
    "getReadiness",
    "getRoleAliasCredentials",
    "issueRegistryTokens",
    "whoAmI",
  ]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const route of routes.filter((one) => !deviceRoutes.includes(one))) {
    const asked = { method: route.method.toUpperCase(), path: pathOfRoute(route, own), agent };
    expect(await whoAmI(service, good, asked)).toMatchObject({ body: { code: "not-found" } });
  }
  agent.destroy();
});
