import { createLocalJWKSet, errors, jwtVerify } from "jose";
import { z } from "zod";
import { watched } from "../leak-watch.js";
import type { Clock } from "./clock.js";

/** What a cloud believes of an assertion, once its issuer's key has verified it. */
export type WebIdentity = { issuer: string; subject: string; audience: string };

/** Why a cloud does not believe one. Each words it in its own way. */
export class WebIdentityError extends Error {
  constructor(readonly reason: "malformed" | "unreachable" | "issuer" | "signature" | "times") {
    super(`the web identity is refused: ${reason}`);
  }
}

const Metadata = z.object({
  issuer: z.string(),
  jwks_uri: z.string(),
  id_token_signing_alg_values_supported: z.array(z.string()),
  response_types_supported: z.array(z.string()),
  subject_types_supported: z.array(z.string()),
});
const KeySet = z.object({
  keys: z.array(z.object({ kty: z.literal("RSA"), n: z.string(), e: z.string(), kid: z.string(), use: z.string() })),
});
const Claims = z.object({
  iss: z.string(),
  sub: z.string().min(1),
  aud: z.string(),
  iat: z.number(),
  nbf: z.number(),
  exp: z.number(),
  jti: z.string().min(1),
});

/** STS says no more of a life than that; Google takes a day. Ours are to be far shorter. */
const longestSeconds = 300;

/**
 * How the clouds come to the issuers of others: they fetch the discovery document and the key set of the one who an assertion
 * says it is from, under its https name, and verify it for real.
 * Source: OpenID Connect Discovery 1.0; RFC 7517; RFC 7519.
 */
export class WebIdentityVerifier {
  /** Every assertion that was sent to any of the clouds, oldest first. */
  readonly seen: string[] = [];
  readonly #servers = new Map<string, string>();

  constructor(private readonly clock: Clock) {}

  /** What the public DNS and a proxy in front do: `https://<host>` is served at `url`. */
  reach(host: string, url: string): void {
    this.#servers.set(host, url);
  }

  /** The name leads nowhere any more. */
  forget(host: string): void {
    this.#servers.delete(host);
  }

  /** @throws WebIdentityError */
  async verify(token: string): Promise<WebIdentity> {
    this.seen.push(watched(token));
    const claims = Claims.safeParse(claimsOf(token));
    if (!claims.success) throw new WebIdentityError("malformed");
    const { iss, sub, aud, iat, exp } = claims.data;
    const keys = await this.#keysOf(iss);
    try {
      await jwtVerify(token, createLocalJWKSet(keys), {
        algorithms: ["RS256"],
        issuer: iss,
        currentDate: this.clock.now(),
        requiredClaims: ["exp", "iat", "nbf", "sub", "aud", "jti"],
      });
    } catch (error) {
      const isLate = error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed;
      throw new WebIdentityError(isLate ? "times" : "signature");
    }
    if (exp - iat > longestSeconds || iat > this.clock.nowSeconds()) throw new WebIdentityError("times");
    return { issuer: iss, subject: sub, audience: aud };
  }

  async #keysOf(issuer: string): Promise<z.output<typeof KeySet>> {
    const metadata = Metadata.safeParse(await this.#fetch(`${issuer}/.well-known/openid-configuration`));
    if (!metadata.success || metadata.data.issuer !== issuer) throw new WebIdentityError("issuer");
    if (!metadata.data.id_token_signing_alg_values_supported.includes("RS256")) throw new WebIdentityError("issuer");
    const keys = KeySet.safeParse(await this.#fetch(metadata.data.jwks_uri));
    if (!keys.success) throw new WebIdentityError("issuer");
    return keys.data;
  }

  async #fetch(address: string): Promise<unknown> {
    const url = new URL(address);
    const server = this.#servers.get(url.host);
    if (url.protocol !== "https:" || server === undefined) throw new WebIdentityError("unreachable");
    const reply = await fetch(`${server}${url.pathname}`, { redirect: "error" });
    if (reply.status !== 200 || !reply.headers.get("content-type")?.startsWith("application/json")) {
      throw new WebIdentityError("issuer");
    }
    return reply.json();
  }
}

function claimsOf(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
