import { base64url, hmacToken, signToken } from "../../../../support/oidc-issuer.js";
import { type Attack, attacker, publicPem, withText } from "./workshop.js";

export const headerAttacks: readonly Attack[] = [
  [
    "a key of the attacker's in jwk",
    "CVE-2018-0114",
    ({ sign }) => sign({}, { jwk: attacker.jwk, kid: attacker.kid }, attacker),
  ],
  ["its own good key in jwk", "CVE-2018-0114", ({ issuer, sign }) => sign({}, { jwk: issuer.key.jwk })],
  [
    "jku",
    "RFC 8725 section 3.10; class: key from the token",
    ({ issuer, sign }) => sign({}, { jku: `${issuer.url}/jwks` }),
  ],
  [
    "jku of the attacker's",
    "RFC 8725 section 3.10",
    ({ sign }) => sign({}, { jku: "https://other.example.test/jwks" }, attacker),
  ],
  ["x5u", "RFC 8725 section 3.10", ({ sign }) => sign({}, { x5u: "https://other.example.test/cert" }, attacker)],
  [
    "x5c",
    "RFC 8725 section 3.10; class: key from the token",
    ({ sign }) => sign({}, { x5c: [base64url(publicPem(attacker))] }, attacker),
  ],
  ["crit with an extension that nobody knows", "CVE-2025-59420", ({ sign }) => sign({}, { crit: ["cnf"], cnf: {} })],
  ["crit that is empty", "RFC 7515 section 4.1.11", ({ sign }) => sign({}, { crit: [] })],
  [
    "b64 false, named in crit",
    "RFC 7797; class: what is signed",
    ({ sign }) => sign({}, { b64: false, crit: ["b64"] }),
  ],
  ["b64 false", "RFC 7797; class: what is signed", ({ sign }) => sign({}, { b64: false })],
  ["zip", "CVE-2024-28176: compression", ({ sign }) => sign({}, { zip: "DEF" })],
  ["typ of an access token", "RFC 8725 section 3.11; RFC 9068", ({ sign }) => sign({}, { typ: "at+jwt" })],
  ["typ of a logout token", "RFC 8725 section 3.11", ({ sign }) => sign({}, { typ: "logout+jwt" })],
  ["typ of a proof", "RFC 8725 section 3.11; RFC 9449", ({ sign }) => sign({}, { typ: "dpop+jwt" })],
  ["typ a number", "class: type confusion", ({ sign }) => sign({}, { typ: 1 })],
  ["cty JWT: nested", "RFC 7519 section 5.2", ({ sign }) => sign({}, { cty: "JWT" })],
  [
    "kid that walks to a file",
    "class: kid traversal",
    ({ sign }) => sign({}, { kid: "../../../../../../dev/null" }, attacker),
  ],
  [
    "kid of a file, HMAC with nothing",
    "class: kid traversal",
    ({ good }) => hmacToken("HS256", { kid: "/dev/null" }, good(), ""),
  ],
  ["kid with SQL", "class: kid injection", ({ sign }) => sign({}, { kid: "' UNION SELECT 'key' -- " }, attacker)],
  ["kid with a command", "class: kid injection", ({ sign }) => sign({}, { kid: "|/usr/bin/id" }, attacker)],
  ["kid __proto__", "class: prototype", ({ sign }) => sign({}, { kid: "__proto__" }, attacker)],
  ["kid constructor", "class: prototype", ({ sign }) => sign({}, { kid: "constructor" }, attacker)],
  ["kid a number", "class: type confusion", ({ sign }) => sign({}, { kid: 0 })],
  ["kid null", "class: type confusion", ({ sign }) => sign({}, { kid: null })],
  ["kid empty", "class: type confusion", ({ sign }) => sign({}, { kid: "" })],
  ["kid a list", "class: type confusion", ({ issuer, sign }) => sign({}, { kid: [issuer.key.kid] })],
  [
    "the kid of a known key, another key",
    "class: kid is no proof",
    ({ issuer, sign }) => sign({}, { kid: issuer.key.kid }, attacker),
  ],
  ["a kid that nobody publishes", "class: unknown key", ({ sign }) => sign({}, {}, attacker)],
  ["no kid, and keys of one type more than one", "class: which key", ({ sign }) => sign({}, { kid: undefined })],
  [
    "alg twice in the header",
    "class: duplicate members",
    ({ issuer, good }) =>
      signToken(withText({ alg: "RS256", kid: issuer.key.kid }, '"alg":"RS256"'), good(), issuer.key),
  ],
  [
    "__proto__ in the header",
    "class: prototype",
    ({ issuer, good }) =>
      signToken(withText({ kid: issuer.key.kid }, '"__proto__":{"alg":"RS256"}'), good(), issuer.key),
  ],
  [
    "a header that is a list",
    "class: type confusion",
    ({ issuer, good }) => signToken('["RS256"]', good(), issuer.key),
  ],
  ["a header that is null", "class: type confusion", ({ issuer, good }) => signToken("null", good(), issuer.key)],
];
