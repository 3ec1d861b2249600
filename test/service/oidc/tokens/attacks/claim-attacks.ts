import { nowSeconds, signToken } from "../../../../support/oidc-issuer.js";
import { type Attack, withText } from "./workshop.js";

export const claimAttacks: readonly Attack[] = [
  ["iss with a slash at its end", "class: normalised issuer", ({ issuer, sign }) => sign({ iss: `${issuer.url}/` })],
  [
    "iss with its host in upper case",
    "class: normalised issuer",
    ({ issuer, sign }) => sign({ iss: issuer.url.toUpperCase().replace("HTTPS", "https") }),
  ],
  ["iss with a look-alike letter", "class: homograph", ({ sign }) => sign({ iss: "https://\u0456dp.example.test" })],
  [
    "iss over http",
    "class: normalised issuer",
    ({ issuer, sign }) => sign({ iss: issuer.url.replace("https", "http") }),
  ],
  ["iss with the usual port", "class: normalised issuer", ({ issuer, sign }) => sign({ iss: `${issuer.url}:443` })],
  [
    "iss that begins like the right one",
    "class: prefix",
    ({ issuer, sign }) => sign({ iss: `${issuer.url}.evil.example` }),
  ],
  ["iss that is a part of the right one", "CVE-2024-53861", ({ sign }) => sign({ iss: "https://idp" })],
  ["iss a list", "class: type confusion", ({ issuer, sign }) => sign({ iss: [issuer.url] })],
  [
    "iss with a user in it",
    "class: normalised issuer",
    ({ issuer, sign }) => sign({ iss: issuer.url.replace("//", "//a@") }),
  ],
  ["iss with a blank", "class: normalised issuer", ({ issuer, sign }) => sign({ iss: `${issuer.url} ` })],
  ["iss left out", "class: missing claim", ({ sign }) => sign({ iss: undefined })],
  [
    "the claims of another issuer's rule",
    "class: issuer mix-up",
    ({ otherIssuer, sign }) => sign({ iss: otherIssuer.url }),
  ],
  [
    "another trusted issuer that says to be this one",
    "class: issuer mix-up",
    ({ issuer, otherIssuer, good }) => otherIssuer.sign(good({ iss: issuer.url })),
  ],
  [
    "another trusted issuer with this one's claims",
    "class: issuer mix-up",
    ({ otherIssuer, good }) => otherIssuer.sign(good({ iss: otherIssuer.url })),
  ],
  ["aud that is a part of the right one", "class: substring", ({ sign }) => sign({ aud: "https://secrets" })],
  [
    "aud that begins like the right one",
    "class: prefix",
    ({ sign }) => sign({ aud: "https://secrets.example.com.evil.example" }),
  ],
  [
    "aud with a slash at its end",
    "class: normalised audience",
    ({ sign }) => sign({ aud: "https://secrets.example.com/" }),
  ],
  ["aud in upper case", "class: case", ({ sign }) => sign({ aud: "HTTPS://SECRETS.EXAMPLE.COM" })],
  ["aud with a blank", "class: normalised audience", ({ sign }) => sign({ aud: " https://secrets.example.com" })],
  [
    "aud a list with another",
    "CVE-2020-26160 class: list of audiences",
    ({ sign }) => sign({ aud: ["https://secrets.example.com", "sts.amazonaws.com"] }),
  ],
  [
    "aud a list of the same twice",
    "class: list of audiences",
    ({ sign }) => sign({ aud: ["https://secrets.example.com", "https://secrets.example.com"] }),
  ],
  ["aud an empty list", "CVE-2020-26160", ({ sign }) => sign({ aud: [] })],
  ["aud a list of lists", "class: type confusion", ({ sign }) => sign({ aud: [["https://secrets.example.com"]] })],
  [
    "aud an object",
    "class: type confusion",
    ({ sign }) => sign({ aud: { 0: "https://secrets.example.com", length: 1 } }),
  ],
  ["aud a number", "class: type confusion", ({ sign }) => sign({ aud: 1 })],
  ["aud true", "class: type confusion", ({ sign }) => sign({ aud: true })],
  ["aud null", "class: type confusion", ({ sign }) => sign({ aud: null })],
  ["aud left out", "class: missing claim", ({ sign }) => sign({ aud: undefined })],
  ["aud of another service", "class: token of another audience", ({ sign }) => sign({ aud: "sts.amazonaws.com" })],
  ["exp left out", "class: missing claim", ({ sign }) => sign({ exp: undefined })],
  ["exp a text", "class: type confusion", ({ sign }) => sign({ exp: String(nowSeconds() + 300) })],
  ["exp null", "class: type confusion", ({ sign }) => sign({ exp: null })],
  ["exp true", "class: type confusion", ({ sign }) => sign({ exp: true })],
  ["exp a list", "class: type confusion", ({ sign }) => sign({ exp: [nowSeconds() + 300] })],
  ["exp a second ago", "class: expired", ({ sign }) => sign({ exp: nowSeconds() - 1 })],
  ["exp in more than a day", "class: far-future expiry", ({ sign }) => sign({ exp: nowSeconds() + 90_000 })],
  ["exp in milliseconds", "class: far-future expiry", ({ sign }) => sign({ exp: Date.now() + 300_000 })],
  ["exp negative", "class: overflow", ({ sign }) => sign({ exp: -1 })],
  [
    "exp beyond all numbers",
    "class: overflow",
    ({ issuer, good }) =>
      signToken({ alg: "RS256", kid: issuer.key.kid }, withText(good({ exp: undefined }), '"exp":1e999'), issuer.key),
  ],
  ["nbf in the future", "class: not yet valid", ({ sign }) => sign({ nbf: nowSeconds() + 120 })],
  ["nbf a text", "class: type confusion", ({ sign }) => sign({ nbf: "0" })],
  ["iat in the future", "class: not yet valid", ({ sign }) => sign({ iat: nowSeconds() + 120 })],
  ["iat a text", "class: type confusion", ({ sign }) => sign({ iat: "0" })],
  ["sub left out", "class: missing claim", ({ sign }) => sign({ sub: undefined })],
  ["sub empty", "class: missing claim", ({ sign }) => sign({ sub: "" })],
  ["sub a number", "class: type confusion", ({ sign }) => sign({ sub: 42 })],
  ["sub with a NUL", "class: truncated text", ({ sign }) => sign({ sub: "job\u0000admin" })],
  ["half a surrogate pair", "class: text that cannot be kept", ({ sign }) => sign({ note: "\ud800" })],
  ["jti a number", "class: type confusion", ({ sign }) => sign({ jti: 1 })],
  ["the bound claim as a number", "class: type confusion", ({ sign }) => sign({ project_id: 42 })],
  ["the bound claim as a list", "class: type confusion", ({ sign }) => sign({ project_id: ["42"] })],
  ["the bound claim with a blank", "class: normalised claim", ({ sign }) => sign({ project_id: "42 " })],
  [
    "the bound claim in another case",
    "class: claim names",
    ({ sign }) => sign({ project_id: undefined, Project_ID: "42" }),
  ],
  ["the bound claim left out", "class: missing claim", ({ sign }) => sign({ project_id: undefined })],
  ["the bound claim of another project", "class: anybody has a signed token", ({ sign }) => sign({ project_id: "43" })],
  [
    "the bound claim by the prototype",
    "class: prototype",
    ({ issuer, good }) =>
      signToken(
        { alg: "RS256", kid: issuer.key.kid },
        withText(good({ project_id: undefined }), '"__proto__":{"project_id":"42"}'),
        issuer.key,
      ),
  ],
  [
    "the bound claim twice",
    "class: duplicate claims",
    ({ issuer, good }) =>
      signToken(
        { alg: "RS256", kid: issuer.key.kid },
        withText(good({ project_id: "43" }), '"project_id":"42"'),
        issuer.key,
      ),
  ],
  [
    "the bound claim twice, once escaped",
    "class: duplicate claims",
    ({ issuer, good }) =>
      signToken(
        { alg: "RS256", kid: issuer.key.kid },
        withText(good({ project_id: "43" }), '"project\\u005fid":"42"'),
        issuer.key,
      ),
  ],
  [
    "aud twice",
    "class: duplicate claims",
    ({ issuer, good }) =>
      signToken(
        { alg: "RS256", kid: issuer.key.kid },
        withText(good({ aud: "sts.amazonaws.com" }), '"aud":"https://secrets.example.com"'),
        issuer.key,
      ),
  ],
  [
    "a nested member twice",
    "class: duplicate claims",
    ({ issuer, good }) =>
      signToken({ alg: "RS256", kid: issuer.key.kid }, withText(good(), '"nested":{"a":1,"a":2}'), issuer.key),
  ],
];
