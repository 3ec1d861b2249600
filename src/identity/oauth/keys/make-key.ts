import { createHash, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { KeyRing, WrappedSigningKey } from "../../../crypto/key-ring.js";
import type { KeyUse } from "./key-use.js";

const generate = promisify(generateKeyPair);

/** A new key for this use, its private half wrapped. `publicKey` is SPKI, DER. */
export async function makeKey(
  keys: KeyRing,
  { purpose, alg }: KeyUse,
): Promise<WrappedSigningKey & { publicKey: Buffer }> {
  const { publicKey, privateKey } = await makePair(alg);
  const bytes = privateKey.export({ format: "der", type: "pkcs8" });
  try {
    const wrapped = await keys.wrapSigningKey({ id: thumbprint(publicKey), purpose, alg }, bytes);
    return { ...wrapped, publicKey: publicKey.export({ format: "der", type: "spki" }) };
  } finally {
    bytes.fill(0);
  }
}

/** RFC 7518, sections 3.3 (RSA: 2,048 bits or more) and 3.4. */
function makePair(alg: KeyUse["alg"]): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (alg) {
    case "ES256":
      return generate("ec", { namedCurve: "P-256" });
    case "RS256":
      return generate("rsa", { modulusLength: 2048 });
    default:
      return alg satisfies never;
  }
}

/** The `kid`: SHA-256 of the required members of the JWK in the order of their names (RFC 7638, section 3). */
function thumbprint(publicKey: KeyObject): string {
  const { crv, e, kty, n, x, y } = publicKey.export({ format: "jwk" });
  const required = kty === "RSA" ? { e, kty, n } : { crv, kty, x, y };
  return createHash("sha256").update(JSON.stringify(required)).digest("base64url");
}
