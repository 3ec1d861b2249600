import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routes } from "../../../src/service/routes.js";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "./expect-problem.js";
import { pathOfRoute, titleOfRoute } from "./route-path.js";

const factory = "refused-bodies";
const value = "not-a-real-secret-in-a-body";
// What a signature is over is read as it comes, whatever it is: test/service/aws/ has what is refused of it.
const withBody = routes
  .filter(({ auth, body }) => body !== undefined && auth !== "signature")
  .map((route) => [titleOfRoute(route), route] as const);

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
  await service.createFactory(factory);
  watched(value);
});
afterAll(() => service.close());

type WalkedRoute = (typeof routes)[number];

function send(route: WalkedRoute, contentType: string, body: string | Buffer, headers: Record<string, string> = {}) {
  const agent = service.as(service.operatorToken)[route.method](pathOfRoute(route, factory));
  // Without this superagent would make JSON of a Buffer.
  return agent
    .set({ "Content-Type": contentType, ...headers })
    .serialize((data) => data)
    .send(body);
}

describe.each(withBody)("%s", (_title, route) => {
  const isJson = route.body?.kind === "json";
  const form = "application/x-www-form-urlencoded";
  const mediaType = isJson ? "application/json" : route.body?.kind === "form" ? form : "application/yaml";

  it.each(
    [form, "multipart/form-data; boundary=x", "text/html", "image/png", "nonsense"].filter(
      (type) => type !== mediaType,
    ),
  )("answers 415 to %s, and names what it takes", async (contentType) => {
    const { detail } = expectProblem(await send(route, contentType, value), "unsupported-media-type");
    expect(detail).toContain(mediaType);
  });

  it("answers 415 to an encoding that it does not know", async () => {
    expectProblem(
      await send(route, mediaType, value, { "Content-Encoding": "x-unheard-of" }),
      "unsupported-media-type",
    );
  });

  it("answers 413 to a body beyond its limit, also one that is small until it is unpacked", async () => {
    const maxBytes = route.body?.maxBytes ?? 256 * 1024;
    const large = Buffer.alloc(maxBytes + 1, " ");
    expectProblem(await send(route, mediaType, large), "body-too-large");
    expectProblem(await send(route, mediaType, gzipSync(large), { "Content-Encoding": "gzip" }), "body-too-large");
  });

  if (!isJson) return;
  it.each([
    ["JSON that breaks off", `{"value":"${value}`],
    ["JSON with a comment", `{"value":"${value}"} // no`],
    ["two JSON documents", `{"value":"${value}"}{}`],
    ["no JSON at all", value],
    ["a byte order mark alone", "\ufeff"],
  ])("answers 400 to %s, and repeats nothing of it", async (_what, body) => {
    expectProblem(await send(route, mediaType, body), "malformed-body");
  });

  it("answers 400 to bytes that are no UTF-8", async () => {
    const bytes = Buffer.concat([Buffer.from(`{"value":"${value}`), Buffer.of(0xff, 0xc0, 0x80), Buffer.from('"}')]);
    expectProblem(await send(route, mediaType, bytes), "malformed-body");
  });

  it("answers 400 to a body that is not what its encoding says", async () => {
    expectProblem(await send(route, mediaType, value, { "Content-Encoding": "gzip" }), "malformed-body");
  });

  it.each(["null", "[]", `"${value}"`, "1"])("answers 400 to %s instead of an object", async (body) => {
    expectProblem(await send(route, mediaType, body), "invalid-request");
  });

  it("repeats no value that stands where it should not", async () => {
    const places = {
      name: { x: value },
      value: [value],
      secrets: [{ name: value, value: { x: value } }, value],
      [value]: value,
    };
    const reply = await send(route, mediaType, JSON.stringify(places));
    expectProblem(reply, "invalid-request");
    expect(reply.text).not.toContain(value);
  });

  it("takes a +json type, a charset, and any case", async () => {
    for (const type of ["application/merge-patch+json", "application/json; charset=utf-8", "APPLICATION/JSON"]) {
      expectProblem(await send(route, type, "[]"), "invalid-request");
    }
  });
});
