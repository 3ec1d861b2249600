import { generateKeyPairSync } from "node:crypto";
import jwt from "jsonwebtoken";
import { z } from "zod";
import type { Clock } from "./clock.js";

const Claims = z.record(z.string(), z.unknown());
export type Claims = z.output<typeof Claims>;

/**
 * Signs and verifies the tokens of one stand-in issuer. The real ones sign RS256; no one but the issuer looks at these
 * signatures, and an EC key is made in no time (ES256).
 */
export type JwtSigner = {
  /** Adds `iat`, `nbf` and `exp`, unless the claims have them. */
  sign(claims: Claims, lifetimeSeconds: number): string;
  /** The claims of a token that this signer made and that is still valid, by the stand-ins' clock. */
  verify(token: string): Claims | undefined;
};

export function createJwtSigner(clock: Clock): JwtSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    sign: (claims, lifetimeSeconds) => {
      const now = clock.nowSeconds();
      const payload = { iat: now, nbf: now, exp: now + lifetimeSeconds, ...claims };
      return jwt.sign(payload, privateKey, { algorithm: "ES256", keyid: "STAND:IN" });
    },
    verify: (token) => {
      try {
        const claims = jwt.verify(token, publicKey, { algorithms: ["ES256"], clockTimestamp: clock.nowSeconds() });
        return Claims.parse(claims);
      } catch {
        return undefined;
      }
    },
  };
}
