import { randomUUID } from "node:crypto";
import { base64url, signatureOf, signToken } from "../../../../support/oidc-issuer.js";
import { type Attack, partsOf, withText } from "./workshop.js";

export const formAttacks: readonly Attack[] = [
  ["a signature stripped", "class: stripped signature", ({ sign }) => `${partsOf(sign()).slice(0, 2).join(".")}.`],
  ["a signature cut short", "class: truncated signature", ({ sign }) => sign().slice(0, -8)],
  ["a signature of one byte", "CVE-2020-28042", ({ sign }) => `${partsOf(sign()).slice(0, 2).join(".")}.AA`],
  [
    "the last character of base64url changed, the bytes equal",
    "jsonwebtoken 9 accepts it; class: malleable token",
    ({ sign }) => sign().replace(/.$/, (last) => String.fromCharCode(last.charCodeAt(0) + 1)),
  ],
  [
    "the signature of another token",
    "class: spliced token",
    ({ sign }) =>
      [
        ...partsOf(sign({ project_id: "43" })).slice(0, 1),
        partsOf(sign())[1],
        partsOf(sign({ project_id: "43" }))[2],
      ].join("."),
  ],
  [
    "one byte of the payload changed",
    "class: changed payload",
    ({ sign, good }) => {
      const [header, , signature] = partsOf(sign({ project_id: "43" }));
      return `${header}.${base64url(JSON.stringify(good()))}.${signature}`;
    },
  ],
  ["padding", "RFC 7515 section 2; class: malleable token", ({ sign }) => `${sign()}==`],
  ["the alphabet of base64", "RFC 7515 section 2; class: malleable token", ({ sign }) => `${sign()}+/`],
  ["a blank in a part", "class: malleable token", ({ sign }) => sign().replace(".", " .")],
  ["a line end in a part", "class: malleable token", ({ sign }) => `${sign()}\n`],
  ["a NUL at the end", "class: malleable token", ({ sign }) => `${sign()}\u0000`],
  ["four parts", "class: malleable token", ({ sign }) => `${sign()}.AA`],
  ["two parts", "class: stripped signature", ({ sign }) => partsOf(sign()).slice(0, 2).join(".")],
  [
    "an encrypted token (JWE)",
    "CVE-2023-51774",
    () =>
      [base64url('{"alg":"dir","enc":"A256GCM"}'), "", "AAAAAAAAAAAAAAAA", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA"].join("."),
  ],
  [
    "a signed token that holds an encrypted one",
    "class: nested JWE",
    ({ issuer }) =>
      signToken(
        { alg: "RS256", kid: issuer.key.kid, cty: "JWT", enc: "A256GCM" },
        '"eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA"',
        issuer.key,
      ),
  ],
  [
    "a detached payload",
    "RFC 7515 appendix F",
    ({ issuer }) =>
      `${base64url(JSON.stringify({ alg: "RS256", kid: issuer.key.kid }))}..${signatureOf("", "RS256", issuer.key.privateKey)}`,
  ],
  [
    "a payload that is a list",
    "class: type confusion",
    ({ issuer, good }) => signToken({ alg: "RS256", kid: issuer.key.kid }, JSON.stringify([good()]), issuer.key),
  ],
  [
    "a payload that is null",
    "class: type confusion",
    ({ issuer }) => signToken({ alg: "RS256", kid: issuer.key.kid }, "null", issuer.key),
  ],
  [
    "a payload that is a number",
    "class: type confusion",
    ({ issuer }) => signToken({ alg: "RS256", kid: issuer.key.kid }, "42", issuer.key),
  ],
  [
    "a payload with a byte order mark",
    "class: parser difference",
    ({ issuer, good }) =>
      signToken({ alg: "RS256", kid: issuer.key.kid }, `\ufeff${JSON.stringify(good())}`, issuer.key),
  ],
  [
    "a payload with a comment",
    "class: parser difference",
    ({ issuer, good }) => signToken({ alg: "RS256", kid: issuer.key.kid }, `${JSON.stringify(good())}/**/`, issuer.key),
  ],
  [
    "a payload that is no UTF-8",
    "class: parser difference",
    ({ issuer, good }) => {
      const payload = Buffer.concat([
        Buffer.from(JSON.stringify(good()).slice(0, -1)),
        Buffer.from(',"a":"'),
        Buffer.from([0xff]),
        Buffer.from('"}'),
      ]);
      const input = `${base64url(JSON.stringify({ alg: "RS256", kid: issuer.key.kid }))}.${payload.toString("base64url")}`;
      return `${input}.${signatureOf(input, "RS256", issuer.key.privateKey)}`;
    },
  ],
  ["more than 16 KiB", "class: huge token", ({ sign }) => sign({ filler: "x".repeat(13_000) })],
  ["ten thousand dots", "CVE-2025-30204", () => ".".repeat(10_000)],
  [
    "a thousand claims",
    "class: huge token",
    ({ sign }) => sign(Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`c${at}`, 1]))),
  ],
  [
    "claims a hundred deep",
    "class: depth",
    ({ issuer, good }) =>
      signToken(
        { alg: "RS256", kid: issuer.key.kid },
        withText(good(), `"deep":${"[".repeat(100)}${"]".repeat(100)}`),
        issuer.key,
      ),
  ],
  ["a token of nobody's", "class: garbage", () => `${randomUUID()}.${randomUUID()}.${randomUUID()}`],
];
