import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { openStored } from "./open-stored.js";

let service: TestService;
let factory: { id: string; name: string };
beforeAll(async () => {
  service = await startTestService();
  factory = await service.createFactory();
});
afterAll(() => service.close());

async function storeAndOpen(body: object) {
  const reply = await service.as(service.operatorToken).put(`/v1/factories/${factory.name}/secrets/a`).send(body);
  expect([200, 201]).toContain(reply.status);
  return { bytes: await openStored(service, { factory, name: "a" }), warnings: reply.body.warnings };
}

describe("a value comes back byte for byte", () => {
  it.each([
    ["a trailing newline", "not-a-real-secret-line\n"],
    ["CRLF", "not-a-real-secret\r\nof two lines\r\n"],
    ["only white space", " \t\r\n "],
    ["NUL", "not-a-real\0secret"],
    ["a byte order mark", "\ufeffnot-a-real-secret"],
    ["an astral character", "not-a-real-secret-\u{1f511}"],
    ["composed and decomposed ä, which stay apart", "not-a-real-secret-\u00e4-a\u0308"],
    ["line separators of Unicode", "not-a-real\u2028secret\u2029"],
    ["a noncharacter", "not-a-real-secret-\uffff"],
    ["what looks like an escape", "not-a-real-secret-\\u0000\\n%00"],
  ])("with %s", async (_what, text) => {
    const { bytes, warnings } = await storeAndOpen({ value: text.trim() === "" ? text : watched(text) });
    expect(bytes).toEqual(Buffer.from(text, "utf8"));
    expect(warnings).toEqual([]);
  });

  it("with every byte there is, sent as base64", async () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const { bytes, warnings } = await storeAndOpen({ valueBase64: all.toString("base64") });
    expect(bytes).toEqual(all);
    expect(warnings).toEqual([]);
  });

  it("with U+FFFD, and a warning that it is probably a damaged binary", async () => {
    const text = watched("not-a-real-secret-\ufffd\ufffd");
    const { bytes, warnings } = await storeAndOpen({ value: text });
    expect(bytes).toEqual(Buffer.from(text, "utf8"));
    expect(warnings).toEqual([{ code: "replacement-character", message: expect.stringContaining("valueBase64") }]);
    const audit = await service.as(service.operatorToken).get(`/v1/factories/${factory.name}/audit?pageSize=1`);
    expect(audit.body.items).toMatchObject([
      { action: "secret.written", secret: "a", warnings: ["replacement-character"] },
    ]);
  });
});
