import { type CryptoKey, importJWK } from "jose";
import type { SignatureAlgorithm } from "./contract.js";
import { readWebKeys, type WebKey, type WebKeys } from "./web-keys.js";

const minRsaBits = 2_048;
// A signature by a longer one costs us more than its sender.
const maxRsaBits = 8_192;

/** The public keys of an issuer. */
export type KeySet = WebKeys & {
  /** By position and algorithm: a key is taken apart once. */
  imported: Map<string, Promise<CryptoKey | undefined>>;
};

/** Reads a JSON Web Key Set. @returns `undefined` when it is none, or holds more than 100 keys */
export function parseKeySet(text: string): KeySet | undefined {
  const read = readWebKeys(text);
  return read && { ...read, imported: new Map() };
}

/**
 * Finds the one key that a token can be signed with. Two keys of one `kid` are none: whoever slipped the second in
 * would be tried too. Without a `kid` exactly one key of the set must fit.
 */
export async function findKey(
  set: KeySet,
  wanted: { kid: string | undefined; algorithm: SignatureAlgorithm },
): Promise<CryptoKey | undefined> {
  const { kid, algorithm } = wanted;
  const named = kid === undefined ? set.keys : set.keys.filter((key) => key.kid === kid);
  if (kid !== undefined && named.length > 1) return undefined;
  const fitting = named.filter((key) => fits(key, algorithm));
  const [key] = fitting;
  return key && fitting.length === 1 ? importedKey(set, key, algorithm) : undefined;
}

function importedKey(set: KeySet, key: WebKey, algorithm: SignatureAlgorithm): Promise<CryptoKey | undefined> {
  const place = `${set.keys.indexOf(key)} ${algorithm}`;
  const known = set.imported.get(place) ?? importKey(key, algorithm);
  set.imported.set(place, known);
  return known;
}

// Only the members that make a public key: whatever else stands in it (`x5u`, `oth`, `d`) reaches no library.
async function importKey(key: WebKey, algorithm: SignatureAlgorithm): Promise<CryptoKey | undefined> {
  const { kty, crv, n, e, x, y } = key;
  const members = { kty, ...(crv && { crv }), ...(n && { n }), ...(e && { e }), ...(x && { x }), ...(y && { y }) };
  try {
    const imported = await importJWK(members, algorithm);
    return imported instanceof Uint8Array ? undefined : imported;
  } catch {
    return undefined;
  }
}

function fits(key: WebKey, algorithm: SignatureAlgorithm): boolean {
  const isForThis = key.alg === undefined || key.alg === algorithm || (algorithm === "EdDSA" && key.alg === "Ed25519");
  const isForSignatures =
    (key.use === undefined || key.use === "sig") && (key.key_ops === undefined || key.key_ops.includes("verify"));
  return isForThis && isForSignatures && !key.isPrivate && isOfType(key, algorithm);
}

function isOfType(key: WebKey, algorithm: SignatureAlgorithm): boolean {
  switch (algorithm) {
    case "RS256":
    case "RS384":
    case "RS512":
    case "PS256":
    case "PS384":
    case "PS512":
      return key.kty === "RSA" && isStrongRsa(key);
    case "ES256":
      return key.kty === "EC" && key.crv === "P-256";
    case "ES384":
      return key.kty === "EC" && key.crv === "P-384";
    case "ES512":
      return key.kty === "EC" && key.crv === "P-521";
    case "EdDSA":
      return key.kty === "OKP" && key.crv === "Ed25519";
    default:
      return algorithm satisfies never;
  }
}

function isStrongRsa({ n, e }: WebKey): boolean {
  const modulusBits = bitsOf(n);
  const exponent = Buffer.from(e ?? "", "base64url");
  // With an exponent of 1 a signature is its own message.
  const isExponent = exponent.length >= 1 && exponent.length <= 4 && exponent.readUIntBE(0, exponent.length) >= 3;
  return modulusBits >= minRsaBits && modulusBits <= maxRsaBits && isExponent;
}

function bitsOf(base64url: string | undefined): number {
  const bytes = Buffer.from(base64url ?? "", "base64url");
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] ?? 0) + 24;
}
