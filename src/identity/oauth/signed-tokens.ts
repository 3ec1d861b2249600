import { randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { z } from "zod";
import { parseStrictJwt } from "../strict-jwt.js";
import type { SigningKeys } from "./keys/signing-keys.js";

/** Two numbers of 32 bytes, in base64url: RFC 7518, section 3.4. */
export const signatureLength = 86;

/** What every token of ours says of itself. `aud` is one text, never a list. */
export const RegisteredClaims = z.object({
  iss: z.string(),
  aud: z.string(),
  sub: z.uuid(),
  exp: z.int().positive(),
  iat: z.int().positive(),
  jti: z.uuid(),
});

export type Registered = z.output<typeof RegisteredClaims>;

/** What tells the tokens of one kind from all others. */
export type TokenKind<C extends Registered> = {
  /** `typ` of the header: a token of one kind is never taken for another. */
  type: string;
  claims: z.ZodType<C>;
  maxBytes: number;
  /** No token of this kind says of itself that it lives longer, whoever signed it. */
  maxSeconds: number;
};

export type SignedTokensDeps = {
  keys: Pick<SigningKeys, "forSigning" | "find">;
  /** The public URL; known once the service listens. */
  issuer: () => string;
  now: () => Date;
};

/** The tokens of one kind that this service signs and takes: ES256 JWTs. */
export class SignedTokens<C extends Registered> {
  readonly #deps: SignedTokensDeps;
  readonly #kind: TokenKind<C>;
  readonly #header: z.ZodType<{ kid: string }>;
  readonly #beginning: string;

  constructor(deps: SignedTokensDeps, kind: TokenKind<C>) {
    this.#deps = deps;
    this.#kind = kind;
    const { type } = kind;
    const kid = z.string().min(1).max(100);
    this.#header = z.strictObject({ alg: z.literal("ES256"), typ: z.literal(type), kid });
    // The header has one spelling up to the `kid`. Three bytes become four characters, so the last ones that are not
    // three depend on what follows.
    const bytes = Buffer.from(`{"alg":"ES256","typ":"${type}","kid":"`);
    this.#beginning = bytes.subarray(0, bytes.length - (bytes.length % 3)).toString("base64url");
  }

  /** Whether the token says of itself that we made it. Says nothing about whether we did. */
  isOurs(token: string): boolean {
    return token.startsWith(this.#beginning);
  }

  /** Sees that a token can be issued. @throws EnvelopeError when the stored key does not open */
  async ready(): Promise<void> {
    await this.#deps.keys.forSigning();
  }

  /**
   * @param claims - `endsAt`: no token outlives it
   * @returns the token, when it was issued, and its life in seconds
   */
  async issue(
    claims: Omit<C, "iss" | "exp" | "iat" | "jti">,
    endsAt: Date | undefined,
  ): Promise<{ token: string; issuedAt: Date; seconds: number }> {
    const iat = Math.floor(this.#deps.now().getTime() / 1000);
    const end = iat + this.#kind.maxSeconds;
    const exp = endsAt ? Math.min(end, Math.floor(endsAt.getTime() / 1000)) : end;
    const { id, key } = await this.#deps.keys.forSigning();
    const payload = { ...claims, iss: this.#deps.issuer(), exp, iat, jti: randomUUID() };
    const header = { alg: "ES256" as const, typ: this.#kind.type, kid: id };
    const token = jwt.sign(payload, key, { algorithm: "ES256", header });
    return { token, issuedAt: new Date(iat * 1000), seconds: exp - iat };
  }

  /** @returns what the token says, and whether its time is over; `undefined` when we did not issue it for this audience */
  async verify(token: string, audience: string): Promise<{ claims: C; isExpired: boolean } | undefined> {
    const parsed = this.isOurs(token) && hasSignature(token) ? parseStrictJwt(token, this.#kind.maxBytes) : undefined;
    const header = this.#header.safeParse(parsed?.header);
    const read = this.#kind.claims.safeParse(parsed?.payload);
    if (!header.success || !read.success) return undefined;
    const claims = read.data;
    const now = this.#deps.now().getTime() / 1000;
    const issuer = this.#deps.issuer();
    if (claims.iss !== issuer || claims.aud !== audience || !this.#hasFitTimes(claims, now)) return undefined;
    const key = await this.#deps.keys.find(header.data.kid);
    if (!key) return undefined;
    try {
      jwt.verify(token, key, { algorithms: ["ES256"], issuer, audience, ignoreExpiration: true });
    } catch (error) {
      if (error instanceof jwt.JsonWebTokenError) return undefined;
      throw error;
    }
    return { claims, isExpired: claims.exp <= now };
  }

  #hasFitTimes({ iat, exp }: Registered, now: number): boolean {
    return iat <= now + maxSkewSeconds && exp > iat && exp - iat <= this.#kind.maxSeconds;
  }
}

// jsonwebtoken throws a TypeError, and no error of its own, for a signature of another length.
export function hasSignature(token: string): boolean {
  return token.length - token.lastIndexOf(".") - 1 === signatureLength;
}

/** How long an access token lives at most. */
export const maxTokenSeconds = 900;

/** How long a token for the relay lives at most. */
export const maxRelayTokenSeconds = 300;

/** How far the clocks of two replicas may be apart. */
export const maxSkewSeconds = 60;

/** How much sooner than it does a token is said to expire: fioctl refreshes only once that time has fully passed. */
export const reportedShortSeconds = 60;

/** How long a session goes on without being refreshed. */
export const sessionSeconds = 90 * 24 * 3600;

/** How long a refresh token works after its first use: two fioctl runs side by side send the same. */
export const reuseSeconds = 60;
