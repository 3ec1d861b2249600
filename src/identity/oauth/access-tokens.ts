import { randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { z } from "zod";
import type { FactoryRef } from "../../core/caller.js";
import { parseStrictJwt } from "../strict-jwt.js";
import type { SigningKeys } from "./keys/signing-keys.js";
import { maxSkewSeconds, maxTokenSeconds } from "./token-life.js";

/** RFC 9068, section 2.1. */
const type = "at+jwt";
const maxBytes = 4096;

/**
 * How each of our tokens begins: its header has one spelling, up to the `kid`. 36 bytes, so that their base64url does not
 * depend on what follows.
 */
const beginning = Buffer.from(`{"alg":"ES256","typ":"${type}","kid":"`).subarray(0, 36).toString("base64url");

/** Two numbers of 32 bytes, in base64url: RFC 7518, section 3.4. */
const signatureLength = 86;

const Header = z.strictObject({ alg: z.literal("ES256"), typ: z.literal(type), kid: z.string().min(1).max(100) });

/** `aud` is one text, never a list; `sub` is the session. */
const Claims = z.object({
  iss: z.string(),
  aud: z.string(),
  sub: z.uuid(),
  exp: z.int().positive(),
  iat: z.int().positive(),
  jti: z.uuid(),
  client_id: z.string(),
  scope: z.string(),
  factory: z.string(),
});

/** What an access token is issued for. */
export type Subject = {
  /** The session's credential. */
  credentialId: string;
  clientId: string;
  factory: FactoryRef;
  scope: string;
  /** When the session itself ends: no token outlives it. */
  expiresAt: Date | undefined;
};

/** The access tokens that this service issues and takes: ES256 JWTs (RFC 9068), for at most 15 minutes. */
export class AccessTokens {
  readonly #keys: Pick<SigningKeys, "forSigning" | "find">;
  readonly #issuer: () => string;
  readonly #now: () => Date;

  /** @param deps.issuer - the public URL, which is the audience too; known once the service listens */
  constructor(deps: { keys: Pick<SigningKeys, "forSigning" | "find">; issuer: () => string; now: () => Date }) {
    this.#keys = deps.keys;
    this.#issuer = deps.issuer;
    this.#now = deps.now;
  }

  /** Whether the token says of itself that we made it. Says nothing about whether we did. */
  isOurs(token: string): boolean {
    return token.startsWith(beginning);
  }

  /** Sees that a token can be issued. @throws EnvelopeError when the stored key does not open */
  async ready(): Promise<void> {
    await this.#keys.forSigning();
  }

  /** @returns the token and its life in seconds */
  async issue(subject: Subject): Promise<{ token: string; seconds: number }> {
    const iat = Math.floor(this.#now().getTime() / 1000);
    const end = iat + maxTokenSeconds;
    const exp = subject.expiresAt ? Math.min(end, Math.floor(subject.expiresAt.getTime() / 1000)) : end;
    const issuer = this.#issuer();
    const claims: z.input<typeof Claims> = {
      iss: issuer,
      aud: issuer,
      sub: subject.credentialId,
      exp,
      iat,
      jti: randomUUID(),
      client_id: subject.clientId,
      scope: subject.scope,
      factory: subject.factory.name,
    };
    const { id, key } = await this.#keys.forSigning();
    const token = jwt.sign(claims, key, { algorithm: "ES256", header: { alg: "ES256", typ: type, kid: id } });
    return { token, seconds: exp - iat };
  }

  /** @returns the session that the token was issued for, or `undefined` when it is not valid */
  async verify(token: string): Promise<{ credentialId: string; expiresAt: Date } | undefined> {
    const parsed = this.isOurs(token) && hasSignature(token) ? parseStrictJwt(token, maxBytes) : undefined;
    const header = Header.safeParse(parsed?.header);
    const claims = Claims.safeParse(parsed?.payload);
    if (!header.success || !claims.success || !this.#isInTime(claims.data)) return undefined;
    const issuer = this.#issuer();
    if (claims.data.iss !== issuer || claims.data.aud !== issuer) return undefined;
    const key = await this.#keys.find(header.data.kid);
    if (!key) return undefined;
    try {
      const clockTimestamp = Math.floor(this.#now().getTime() / 1000);
      jwt.verify(token, key, { algorithms: ["ES256"], issuer, audience: issuer, clockTimestamp });
    } catch (error) {
      if (error instanceof jwt.JsonWebTokenError) return undefined;
      throw error;
    }
    return { credentialId: claims.data.sub, expiresAt: new Date(claims.data.exp * 1000) };
  }

  // No token of ours says of itself that it lives longer, whoever signed it.
  #isInTime({ iat, exp }: { iat: number; exp: number }): boolean {
    const now = this.#now().getTime() / 1000;
    return exp > now && iat <= now + maxSkewSeconds && exp > iat && exp - iat <= maxTokenSeconds;
  }
}

// jsonwebtoken throws a TypeError, and no error of its own, for a signature of another length.
function hasSignature(token: string): boolean {
  return token.length - token.lastIndexOf(".") - 1 === signatureLength;
}
