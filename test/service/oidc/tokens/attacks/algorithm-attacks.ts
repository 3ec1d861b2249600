import { createPublicKey } from "node:crypto";
import { hmacToken } from "../../../../support/oidc-issuer.js";
import { type Attack, partsOf, publicPem, unsigned } from "./workshop.js";

export const algorithmAttacks: readonly Attack[] = [
  ["alg none, no signature", "CVE-2021-22160", ({ good }) => unsigned({ alg: "none" }, good())],
  ["alg none with a signature", "CVE-2022-23540", ({ good }) => unsigned({ alg: "none" }, good(), "c2ln")],
  ["alg None", "class: spelling of none", ({ good }) => unsigned({ alg: "None" }, good(), "c2ln")],
  ["alg NONE", "class: spelling of none", ({ good }) => unsigned({ alg: "NONE" }, good(), "c2ln")],
  ["alg nOnE", "class: spelling of none", ({ good }) => unsigned({ alg: "nOnE" }, good(), "c2ln")],
  ["alg none with a blank", "class: spelling of none", ({ good }) => unsigned({ alg: "none " }, good(), "c2ln")],
  [
    "alg none over a good signature",
    "CVE-2015-9235",
    ({ sign, good }) => unsigned({ alg: "none" }, good(), partsOf(sign())[2]),
  ],
  ["alg left out", "class: default algorithm", ({ sign }) => sign({}, { alg: undefined })],
  ["alg empty", "class: default algorithm", ({ sign }) => sign({}, { alg: "" })],
  ["alg null", "class: type confusion", ({ sign }) => sign({}, { alg: null })],
  ["alg a list", "class: type confusion", ({ sign }) => sign({}, { alg: ["RS256"] })],
  ["alg in lower case", "class: case of alg", ({ sign }) => sign({}, { alg: "rs256" })],
  [
    "HS256 with the public key, PEM",
    "CVE-2016-10555",
    ({ issuer, good }) => hmacToken("HS256", { kid: issuer.key.kid }, good(), publicPem(issuer.key)),
  ],
  [
    "HS256 with the public key, PEM without its last line end",
    "CVE-2016-5431",
    ({ issuer, good }) => hmacToken("HS256", { kid: issuer.key.kid }, good(), publicPem(issuer.key).trim()),
  ],
  [
    "HS256 with the public key, DER",
    "CVE-2024-33663",
    ({ issuer, good }) =>
      hmacToken(
        "HS256",
        { kid: issuer.key.kid },
        good(),
        createPublicKey(issuer.key.privateKey).export({ type: "spki", format: "der" }),
      ),
  ],
  [
    "HS512 with the JWK's own text",
    "CVE-2022-29217",
    ({ issuer, good }) => hmacToken("HS512", { kid: issuer.key.kid }, good(), JSON.stringify(issuer.key.jwk)),
  ],
  [
    "HS384 with the modulus",
    "CVE-2023-48238",
    ({ issuer, good }) => hmacToken("HS384", { kid: issuer.key.kid }, good(), String(issuer.key.jwk.n)),
  ],
  ["HS256 with an empty secret", "class: empty secret", ({ good }) => hmacToken("HS256", {}, good(), "")],
  ["RS256 with an EC key", "CVE-2022-23539", ({ ec, sign }) => sign({}, { alg: "RS256" }, ec)],
  ["ES256 with an RSA key", "CVE-2022-23539", ({ issuer, sign }) => sign({}, { alg: "ES256" }, issuer.key)],
  [
    "PS256 with a key for RS256",
    "class: algorithm of a key",
    ({ issuer, sign }) => sign({}, { alg: "PS256" }, { ...issuer.key, alg: "PS256" }),
  ],
  [
    "an algorithm that the rule does not pin",
    "class: algorithm not pinned",
    ({ issuer, sign }) => sign({}, { alg: "RS512" }, { ...issuer.key, alg: "RS512" }),
  ],
  [
    "ECDSA with r and s zero",
    "CVE-2022-21449",
    ({ ec, good }) => unsigned({ alg: "ES256", kid: ec.kid }, good(), Buffer.alloc(64).toString("base64url")),
  ],
  [
    "ECDSA with r and s the order of the curve",
    "CVE-2022-21449",
    ({ ec, good }) =>
      unsigned(
        { alg: "ES256", kid: ec.kid },
        good(),
        Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".repeat(2), "hex").toString(
          "base64url",
        ),
      ),
  ],
  [
    "ECDSA in DER",
    "RFC 7518 section 3.4; CVE-2020-13822: malleable signature",
    ({ ec, sign }) => {
      const [header, payload, signature] = partsOf(sign({}, {}, ec));
      return `${header}.${payload}.${derOf(Buffer.from(signature, "base64url")).toString("base64url")}`;
    },
  ],
];

function derOf(signature: Buffer): Buffer {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((bytes) =>
    Buffer.concat([Buffer.from([2, 33, 0]), bytes]),
  );
  return Buffer.concat([Buffer.from([0x30, 70]), ...integers]);
}
