import { isUnambiguousJson } from "../core/unambiguous-json.js";

/** The two readable parts of a signed JWT. Nothing in them is to be believed before the signature was verified. */
export type StrictJwt = {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
};

/**
 * Reads a signed JWT in compact form (RFC 7515, section 7.1) more strictly than the libraries that verify it: one
 * token must have one spelling and one meaning, no matter who reads it.
 *
 * Refused are: more than `maxBytes` characters; anything but three parts, none of them empty; base64url with padding,
 * with foreign characters, or that does not encode back to itself (the last character has bits that decoders drop);
 * a header or payload that is not a JSON object in UTF-8; a member that appears twice at any depth, or is named
 * `__proto__`; NUL and half a surrogate pair, which Postgres cannot keep; `crit` (RFC 7515, section 4.1.11: we
 * understand no extension), and the members by which a token brings its own key: `jku`, `jwk`, `x5u`, `x5c`.
 *
 * It checks neither the signature nor any claim, `typ` and `alg` included.
 * @param maxBytes - of the whole token, which is ASCII
 * @returns `undefined` for a token that is refused
 */
export function parseStrictJwt(token: string, maxBytes: number): StrictJwt | undefined {
  if (token.length > maxBytes) return undefined;
  const [headerPart, payloadPart, signature, ...more] = token.split(".");
  if (headerPart === undefined || payloadPart === undefined || signature === undefined || more.length > 0) {
    return undefined;
  }
  if (decodeStrictly(signature) === undefined) return undefined;
  const header = parseObject(decodeStrictly(headerPart));
  const payload = parseObject(decodeStrictly(payloadPart));
  if (header === undefined || payload === undefined) return undefined;
  return refusedHeaders.some((name) => Object.hasOwn(header, name)) ? undefined : { header, payload };
}

const refusedHeaders = ["crit", "jku", "jwk", "x5u", "x5c"];

function decodeStrictly(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, "base64url");
  return bytes.length > 0 && bytes.toString("base64url") === part ? bytes : undefined;
}

// `ignoreBOM` keeps a byte order mark, and JSON.parse then refuses it.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parseObject(bytes: Buffer | undefined): Record<string, unknown> | undefined {
  if (bytes === undefined) return undefined;
  try {
    const text = utf8.decode(bytes);
    const value: unknown = JSON.parse(text);
    return isObject(value) && isUnambiguousJson(text) ? value : undefined;
  } catch {
    // The parser's own message quotes its input, so it goes nowhere.
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
