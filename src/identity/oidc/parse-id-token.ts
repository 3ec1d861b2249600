import { z } from "zod";
import { federationClaim } from "../../core/federation-claim.js";
import { parseStrictJwt } from "../strict-jwt.js";
import type { Claims } from "./conditions.js";
import { maxIdTokenLength, SignatureAlgorithm } from "./contract.js";
import type { IdTokenFailure } from "./id-token-failure.js";

/** What an ID token says, as far as it can be read without a key. Nothing of it is to be believed yet. */
export type ParsedIdToken = {
  algorithm: SignatureAlgorithm;
  kid: string | undefined;
  issuer: string;
  /** Absent when there is none, or more than one. */
  audience: string | undefined;
  /** Seconds since 1970. */
  expiresAt: number;
  notBefore: number | undefined;
  issuedAt: number | undefined;
  tokenId: string | undefined;
  claims: Claims;
};

const Text = z.string().min(1);
const Time = z.number().nonnegative();
const Header = z.looseObject({ kid: Text.optional() });

/** The claims that RFC 7519, section 4.1, gives a type. `aud` is judged apart. */
const Registered = z.looseObject({
  iss: Text,
  sub: Text,
  exp: Time,
  nbf: Time.optional(),
  iat: Time.optional(),
  jti: Text.optional(),
});

const maxClaims = 200;

/** What changes what is signed, or how it is to be read (RFC 7797, RFC 7516, RFC 7519 section 5.2). */
const refusedHeaders = ["b64", "zip", "enc", "cty"] as const;

/**
 * Reads an ID token (OpenID Connect Core 1.0, section 2) and refuses what no issuer makes: a type other than `JWT`,
 * an algorithm with a shared secret or none, claims of another type than theirs.
 */
export function parseIdToken(
  token: string,
): ParsedIdToken | Extract<IdTokenFailure, "malformed" | "type" | "algorithm"> {
  const parts = parseStrictJwt(token, maxIdTokenLength);
  if (!parts || refusedHeaders.some((name) => Object.hasOwn(parts.header, name))) return "malformed";
  const { typ, alg } = parts.header;
  // An access token of ours or of the issuer's (`at+jwt`, RFC 9068), a logout token, a proof: each is signed as well.
  if (typ !== undefined && (typeof typ !== "string" || typ.toUpperCase() !== "JWT")) return "type";
  // What we sign for the clouds is for them alone, whatever a rule says.
  if (Object.hasOwn(parts.payload, federationClaim)) return "type";
  const algorithm = SignatureAlgorithm.safeParse(alg);
  if (!algorithm.success) return "algorithm";
  const header = Header.safeParse(parts.header);
  const registered = Registered.safeParse(parts.payload);
  if (!header.success || !registered.success || Object.keys(parts.payload).length > maxClaims) return "malformed";
  const { iss, exp, nbf, iat, jti } = registered.data;
  return {
    algorithm: algorithm.data,
    kid: header.data.kid,
    issuer: iss,
    audience: oneAudience(parts.payload.aud),
    expiresAt: exp,
    notBefore: nbf,
    issuedAt: iat,
    tokenId: jti,
    claims: parts.payload,
  };
}

/** A list of one is how some issuers write one; with a list of two somebody else could present the token here. */
function oneAudience(value: unknown): string | undefined {
  const audience: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value;
  return typeof audience === "string" && audience !== "" ? audience : undefined;
}
