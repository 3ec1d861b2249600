import { expect, it } from "vitest";
import { parseStrictJwt } from "../../../src/identity/strict-jwt.js";

const encode = (text: string | Buffer): string => Buffer.from(text).toString("base64url");
const token = (header: string | Buffer, payload: string | Buffer): string =>
  `${encode(header)}.${encode(payload)}.${encode("signature!")}`;
const plain = '{"alg":"ES256"}';

it("reads a token that is in order", () => {
  const payload = '{"aud":"a","nested":{"aud":["{\\"aud\\":1}"]},"list":[{"x":1},{"x":2}]}';
  expect(parseStrictJwt(token(plain, payload), 4096)).toEqual({
    header: { alg: "ES256" },
    payload: { aud: "a", nested: { aud: ['{"aud":1}'] }, list: [{ x: 1 }, { x: 2 }] },
  });
});

const good = token(plain, '{"sub":"x"}');
const refused: Record<string, string> = {
  "two parts": good.split(".").slice(0, 2).join("."),
  "five parts, as an encrypted token has": `${good}.x.y`,
  "no signature": `${encode(plain)}.${encode("{}")}.`,
  padding: token(plain, "{}").replace(".", "=."),
  "a changed last character that decodes alike":
    good.slice(0, -1) + String.fromCharCode(good.charCodeAt(good.length - 1) + 1),
  "the other base64 alphabet": token(plain, '{"a":"~~~???"}').replaceAll("_", "/").replaceAll("-", "+"),
  "white space around": ` ${good}`,
  "a header that is a list": token("[]", "{}"),
  "a payload that is text": token(plain, '"x"'),
  "a payload that is null": token(plain, "null"),
  "a payload that is no JSON": token(plain, "{"),
  "a payload that is not UTF-8": token(plain, Buffer.from('{"a":"\xff"}', "latin1")),
  "a byte order mark": token(plain, "\ufeff{}"),
  "a claim twice": token(plain, '{"aud":"a","aud":"b"}'),
  "a claim twice, once in escapes": token(plain, '{"aud":"a","\\u0061ud":"b"}'),
  "a claim twice, inside": token(plain, '{"x":[{"a":{"b":1 , "b" :2}}]}'),
  "a header member twice": token('{"alg":"none","alg":"ES256"}', "{}"),
  "a member named __proto__": token(plain, '{"__proto__":{"sub":"x"}}'),
  NUL: token(plain, '{"sub":"a\\u0000"}'),
  "half a surrogate pair": token(plain, '{"sub":"\\ud800"}'),
  "a hundred lists in each other": token(plain, `{"a":${"[".repeat(100)}${"]".repeat(100)}}`),
  "more bytes than allowed": token(plain, JSON.stringify({ a: "x".repeat(4096) })),
  ...Object.fromEntries(
    ["crit", "jku", "jwk", "x5u", "x5c"].map((name) => [
      `the header ${name}`,
      token(JSON.stringify({ alg: "ES256", [name]: null }), "{}"),
    ]),
  ),
};

it.each(Object.entries(refused))("refuses %s", (_what, text) => {
  expect(parseStrictJwt(good, 4096)).toBeDefined();
  expect(parseStrictJwt(text, 4096)).toBeUndefined();
});
