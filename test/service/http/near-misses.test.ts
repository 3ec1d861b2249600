import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expressPath } from "../../../src/http/mount.js";
import { routes } from "../../../src/service/routes.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "./expect-problem.js";
import { pathOfRoute, titleOfRoute } from "./route-path.js";

type WalkedRoute = (typeof routes)[number];

const factory = "near-misses";
let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
  await service.createFactory(factory);
});
afterAll(() => service.close());

const call = (route: WalkedRoute, path: string) => service.as(service.operatorToken)[route.method](path);
const routeIdOf = (line: string): string => JSON.parse(line).route;

/** Which route the last answer came from, as the log has it. */
function lastRoute(): string {
  const line = service.logLines.findLast((text) => text.includes('"route"'));
  return line === undefined ? "none" : routeIdOf(line);
}

/** Spellings that resemble the path and are another path. */
function nearMissesOf(route: WalkedRoute): string[] {
  const path = pathOfRoute(route, factory);
  const [, first = ""] = path.split("/");
  const misses = [
    path.replace(`/${first}`, `/${first.toUpperCase()}`),
    `/${path}`,
    path.replace(`/${first}`, `/${first}/.`),
  ];
  if (route.trailingSlash !== "both") misses.push(`${path}/`);
  misses.push(`${path}//`);
  const colon = path.indexOf(":");
  if (colon > 0) {
    const [before, verb] = [path.slice(0, colon), path.slice(colon + 1)];
    misses.push(`${before}%3A${verb}`, `${before}%3a${verb}`, `${before}${verb}`, `${before}ANYTHING`);
    misses.push(`${path}X`, `${before}:${verb.toUpperCase()}`, `${before}/:${verb}`);
  }
  // "/" has no upper case.
  return misses.filter((miss) => miss !== path);
}

describe.each(routes.map((route) => [titleOfRoute(route), route] as const))("%s", (_title, route) => {
  it("answers at its own path", async () => {
    await call(route, pathOfRoute(route, "no-such-factory"));
    expect(lastRoute()).toBe(route.id);
  });

  it("does not answer at a path that resembles its own", async () => {
    for (const path of nearMissesOf(route)) {
      const { status } = await call(route, path);
      expect([path, lastRoute() === route.id, [400, 404, 405].includes(status)]).toEqual([path, false, true]);
    }
  });

  it("refuses a query parameter that it does not have", async () => {
    // fioctl's list is JobServ's, which takes any.
    if (route.id === "fioctlListTriggers") return;
    // Whoever has no certificate gets no further.
    if (route.auth === "device") return;
    const reply = await call(route, `${pathOfRoute(route, factory)}?nonsense=not-a-real-secret-in-a-query`);
    expectProblem(reply, "invalid-request");
    expect(reply.text).not.toContain("not-a-real-secret");
  });
});

const allowedAt = new Map<string, string[]>();
for (const route of routes) {
  const path = expressPath(route);
  allowedAt.set(path, [...(allowedAt.get(path) ?? []), route.method.toUpperCase()]);
}

describe.each(routes.map((route) => [titleOfRoute(route), route] as const))("beside %s", (_title, route) => {
  it("another method is answered 405 and told which there are, whoever asks", async () => {
    const allowed = allowedAt.get(expressPath(route)) ?? [];
    const methods = ["get", "put", "post", "delete", "patch", "options"] as const;
    for (const method of methods.filter((one) => !allowed.includes(one.toUpperCase()))) {
      const reply = await service.as(undefined)[method](pathOfRoute(route, factory));
      expectProblem(reply, "method-not-allowed");
      expect(reply.headers.allow?.split(", ")).toEqual(allowed);
    }
  });
});

describe("a path that is nobody's", () => {
  it.each([
    "/v1",
    "/v1/",
    "/V1/whoami",
    "/v1/factories/a/b/c/d",
    "/favicon.ico",
    "/..%2f..%2fetc/passwd",
    "/constructor",
    "/__proto__",
  ])("%s is answered 404, with or without a token", async (path) => {
    for (const token of [undefined, service.operatorToken, "garbage"]) {
      expectProblem(await service.as(token).get(path), "not-found");
    }
  });

  it.each([
    "/v1/factories/%",
    "/v1/factories/%zz/secrets",
    "/v1/factories/%c0%80/secrets",
    "/projects/%ff/lmp/triggers/",
  ])("%s is refused without being repeated", async (path) => {
    const { detail } = expectProblem(await service.as(service.operatorToken).get(path), "invalid-request");
    expect(detail).toBe("The path is not validly percent-encoded.");
  });

  it.each(["%00", "a%00b", "%0a", "..%2f", "UPPER", "-a", "a".repeat(5000)])(
    "a factory named %s is a factory that does not exist",
    async (name) => {
      for (const path of [
        `/v1/factories/${name}`,
        `/v1/factories/${name}/secrets`,
        `/projects/${name}/lmp/triggers/`,
      ]) {
        expectProblem(await service.as(service.operatorToken).get(path), "not-found");
      }
    },
  );

  it("is answered HEAD like GET, without a body", async () => {
    const { status, text, headers } = await service.as(service.operatorToken).head("/v1/whoami");
    expect([status, text ?? "", headers["content-type"]]).toEqual([200, "", "application/json"]);
  });
});
