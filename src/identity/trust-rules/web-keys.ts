import { type CryptoKey, importJWK } from "jose";
import { z } from "zod";
import { optionalMember, parseForeignJson } from "../../outbound/foreign-json.js";
import { SignatureAlgorithm } from "./contract.js";

/** The members of a JSON Web Key (RFC 7517, section 4; RFC 7518, section 6) that decide whether it is the one. */
export type WebKey = {
  kty: string;
  kid?: string;
  use?: string;
  alg?: string;
  key_ops?: readonly string[];
  crv?: string;
  n?: string;
  e?: string;
  x?: string;
  y?: string;
  /** Whoever publishes the private half lets everybody sign: such a key verifies nothing. */
  isPrivate: boolean;
};

/** A key of a set that verifies nothing, and why: RFC 7517, section 5, has readers ignore what they do not understand. */
export type IgnoredKey = {
  /** JSON pointer into the set. */
  at: string;
  kid?: string;
  reason: string;
};

export type WebKeys = {
  keys: readonly WebKey[];
  ignored: readonly IgnoredKey[];
  /** Any of its members, understood or not, is a private or a shared key. */
  holdsPrivate: boolean;
};

// RFC 7518 (6.2.2, 6.3.2, 6.4.1), RFC 8037 (2)
const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const requiredMembers: ReadonlyMap<string, readonly string[]> = new Map([
  ["RSA", ["n", "e"]],
  ["EC", ["crv", "x", "y"]],
  ["OKP", ["crv", "x"]],
]);

const maxKeys = 100;
const KeyList = z.object({ keys: z.array(z.unknown()).max(maxKeys) });
const Members = z.record(z.string(), z.unknown());
const ShownId = optionalMember(z.string().max(200));
const TextMember = z.string().max(10_000);
const Operations = z.array(z.string()).max(100);
const Kid = z.string().max(1_000);

/**
 * Reads a JSON Web Key Set (RFC 7517, section 5). A key that cannot be understood is left out and spoils no other one.
 * @returns `undefined` when it is none, or holds more than 100 keys
 */
export function readWebKeys(text: string): WebKeys | undefined {
  const list = KeyList.safeParse(parseForeignJson(text));
  if (!list.success) return undefined;
  const keys: WebKey[] = [];
  const ignored: IgnoredKey[] = [];
  let holdsPrivate = false;
  for (const [index, value] of list.data.keys.entries()) {
    const members = Members.safeParse(value);
    const read = members.success ? readWebKey(members.data) : "is not an object";
    holdsPrivate ||= members.success && isPrivateKey(members.data);
    const isUsable = typeof read === "object" && !read.isPrivate;
    if (typeof read === "object") keys.push(read);
    if (isUsable) continue;
    const kid = ShownId.parse(members.data?.kid);
    const reason = typeof read === "string" ? read : "holds the private or shared half of the key";
    ignored.push({ at: `/keys/${index}`, ...(kid !== undefined && { kid }), reason });
  }
  return { keys, ignored, holdsPrivate };
}

/** What is wrong, for a person. */
type Reason = string;

// A member that restricts a key (`use`, `key_ops`, `alg`) and cannot be read might forbid what the key would be used for.
function readWebKey(members: Readonly<Record<string, unknown>>): WebKey | Reason {
  const kty = members.kty;
  if (typeof kty !== "string" || kty === "") return "has no kty";
  if (kty === "oct") return "is a shared key (kty oct)";
  const required = requiredMembers.get(kty);
  if (!required) return "has a kty that is not known here: RSA, EC and OKP are";
  const kid = readOptional(members.kid, Kid);
  const use = readOptional(members.use, TextMember);
  const alg = readOptional(members.alg, TextMember);
  const operations = readOptional(members.key_ops, Operations);
  if (!kid.isRead) return "has a kid that is not text";
  if (!use.isRead) return "has a use that is not text";
  if (!alg.isRead) return "has an alg that is not text";
  if (!operations.isRead) return "has key_ops that are not a list of texts";
  const unknown = unknownUse(use.value, alg.value);
  if (unknown !== undefined) return unknown;
  const material: Partial<Record<string, string>> = {};
  for (const name of required) {
    const value = readOptional(members[name], TextMember);
    if (!value.isRead || value.value === undefined) return `has no ${name}, which a key of type ${kty} needs`;
    material[name] = value.value;
  }
  return {
    kty,
    isPrivate: isPrivateKey(members),
    ...(kid.value !== undefined && { kid: kid.value }),
    ...(use.value !== undefined && { use: use.value }),
    ...(alg.value !== undefined && { alg: alg.value }),
    ...(operations.value !== undefined && { key_ops: operations.value }),
    ...material,
  };
}

// RFC 7517 (4.2, 4.4): both are compared letter by letter. A key that names neither a signature nor an encryption that is
// known, in these letters, would verify nothing, and the reason would not be seen.
const uses = ["sig", "enc"];

function unknownUse(use: string | undefined, alg: string | undefined): Reason | undefined {
  if (use !== undefined && !uses.includes(use)) {
    const meant = uses.find((known) => known === use.toLowerCase());
    return meant === undefined
      ? "has a use that is not known here: sig is"
      : `has a use that must be written "${meant}"`;
  }
  const written = SignatureAlgorithm.options.find((known) => known.toLowerCase() === alg?.toLowerCase());
  return written === undefined || written === alg ? undefined : `has an alg that must be written "${written}"`;
}

const isPrivateKey = (members: Readonly<Record<string, unknown>>): boolean =>
  privateMembers.some((member) => Object.hasOwn(members, member));

type Optional<T> = { isRead: true; value: T | undefined } | { isRead: false };

/** `null` and `""` are absence; another form is not. */
function readOptional<S extends z.ZodType>(value: unknown, shape: S): Optional<z.output<S>> {
  if (value === undefined || value === null || value === "") return { isRead: true, value: undefined };
  const parsed = shape.safeParse(value);
  return parsed.success ? { isRead: true, value: parsed.data } : { isRead: false };
}

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
