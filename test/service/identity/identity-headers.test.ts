import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createToken, isWellFormedToken } from "../../../src/identity/token.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
let token: string;
beforeAll(async () => {
  service = await startTestService();
  token = service.operatorToken;
});
afterAll(() => service.close());

const whoAmI = (headers: Record<string, string>) => service.as(undefined).get("/v1/whoami").set(headers);
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("a token is taken from", () => {
  it.each([
    ["OSF-TOKEN", () => ({ "OSF-TOKEN": token })],
    ["a bearer", () => ({ Authorization: `Bearer ${token}` })],
    ["a bearer in small letters, with spaces", () => ({ Authorization: `bearer   ${token}  ` })],
    ["a bearer in base64, as fioctl sends it", () => ({ Authorization: `Bearer ${base64(token)}` })],
    [
      "OSF-TOKEN beside a stale bearer",
      () => ({ "OSF-TOKEN": token, Authorization: `Bearer ${createToken("operator")}` }),
    ],
    ["OSF-TOKEN beside another scheme", () => ({ "OSF-TOKEN": token, Authorization: "Basic dXNlcjpwYXNz" })],
  ])("%s", async (_where, headers) => {
    const { status, body } = await whoAmI(headers());
    expect([status, body.kind]).toEqual([200, "operator"]);
  });
});

describe("401 is the answer to", () => {
  it.each([
    [
      "OSF-TOKEN that is not valid, beside a bearer that is",
      () => ({ "OSF-TOKEN": "x", Authorization: `Bearer ${token}` }),
    ],
    ["an empty OSF-TOKEN beside a bearer", () => ({ "OSF-TOKEN": "", Authorization: `Bearer ${token}` })],
    ["OSF-TOKEN in base64", () => ({ "OSF-TOKEN": base64(token) })],
    ["Bearer without a token", () => ({ Authorization: "Bearer" })],
    ["a token without Bearer", () => ({ Authorization: token })],
    ["two tokens", () => ({ Authorization: `Bearer ${token} ${token}` })],
    ["base64 twice", () => ({ Authorization: `Bearer ${base64(base64(token))}` })],
    ["base64 without its padding", () => ({ Authorization: `Bearer ${base64(token).replace(/=+$/, "")}` })],
    ["base64 of a token and a line end", () => ({ Authorization: `Bearer ${base64(`${token}\n`)}` })],
    ["base64 of something else", () => ({ Authorization: `Bearer ${base64("hello")}` })],
    ["Basic", () => ({ Authorization: `Basic ${base64(`fio:${token}`)}` })],
    ["three parts that are no token of ours", () => ({ Authorization: "Bearer aaa.bbb.ccc" })],
    ["a token with another prefix", () => ({ "OSF-TOKEN": token.replace("fso_", "fsu_") })],
    ["a token in capitals", () => ({ "OSF-TOKEN": token.toUpperCase() })],
    ["half a token", () => ({ "OSF-TOKEN": token.slice(0, 30) })],
    ["a very long header", () => ({ "OSF-TOKEN": `fso_${"x".repeat(20_000)}` })],
  ])("%s, and the token is not repeated", async (_what, headers) => {
    const reply = await whoAmI(headers());
    const { detail } = expectProblem(reply, "unauthenticated");
    expect(detail).toMatch(/^This token is not valid/);
    expect(reply.text).not.toContain("fso_");
  });

  it("no credential at all, with a sentence that says how to present one", async () => {
    expect(expectProblem(await whoAmI({}), "unauthenticated").detail).toContain("OSF-TOKEN");
  });
});

describe("a token", () => {
  it("is stored as its hash only", async () => {
    const { rows } = await service.database.pool.query<{ row: string }>("SELECT c::text AS row FROM credentials c");
    expect(rows).not.toHaveLength(0);
    expect(rows.map(({ row }) => row).join()).not.toContain(token.slice(4, 40));
  });

  it("with one character changed fails its checksum, wherever it is, before the database is asked", () => {
    for (let at = 4; at < token.length; at += 1) {
      const typo = token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
      expect(isWellFormedToken(typo)).toBe(false);
    }
    expect(isWellFormedToken(token)).toBe(true);
  });
});
