import { createPublicKey } from "node:crypto";
import { base64url, newSigningKey, type SigningKey, type TestIssuer } from "../../../../support/oidc-issuer.js";

/** What the attacks are made of. `claims` are those that the rule wants: but for the trick each token would get in. */
export type Workshop = {
  issuer: TestIssuer;
  /** Trusted by the same factory, for other claims. */
  otherIssuer: TestIssuer;
  ec: SigningKey;
  /** Claims of a good token, all of them. */
  good(changes?: Record<string, unknown>): Record<string, unknown>;
  /** A good token, but for changed claims and header. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>, key?: SigningKey): string;
};

/** `[what it is, the advisory or class that it stands for, the token]` */
export type Attack = readonly [name: string, standsFor: string, make: (workshop: Workshop) => string];

export const partsOf = (token: string): [string, string, string] => {
  const [header = "", payload = "", signature = ""] = token.split(".");
  return [header, payload, signature];
};
export const unsigned = (header: Record<string, unknown>, payload: Record<string, unknown>, signature = ""): string =>
  `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(payload))}.${signature}`;
export const publicPem = ({ privateKey }: SigningKey): string =>
  createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString();
export const attacker = newSigningKey("RS256");

/** A header or payload as text, with something written that no serialiser would write. */
export const withText = (value: Record<string, unknown>, extra: string): string =>
  `${JSON.stringify(value).slice(0, -1)},${extra}}`;
