import type { KeyObject } from "node:crypto";

/** The public half of a signing key that is published. */
export type PublishedKey = { id: string; key: KeyObject };

/** An ES256 key in JWK form (RFC 7517, section 4; RFC 7518, section 6.2). */
export function ecJwk({ id, key }: PublishedKey) {
  const { x, y } = key.export({ format: "jwk" });
  if (x === undefined || y === undefined) throw new Error("a key on a curve has two coordinates");
  return { kty: "EC", crv: "P-256", x, y, kid: id, use: "sig", alg: "ES256" };
}

/** An RS256 key in JWK form (RFC 7517, section 4; RFC 7518, section 6.3). */
export function rsaJwk({ id, key }: PublishedKey) {
  const { n, e } = key.export({ format: "jwk" });
  if (n === undefined || e === undefined) throw new Error("an RSA key has a modulus and an exponent");
  return { kty: "RSA", n, e, kid: id, use: "sig", alg: "RS256" };
}
