import { z } from "zod";
import type { FactoryRef } from "../../core/caller.js";
import { maxTokenSeconds, RegisteredClaims, SignedTokens, type SignedTokensDeps } from "./signed-tokens.js";

/** `sub` is the session. */
const Claims = RegisteredClaims.extend({ client_id: z.string(), scope: z.string(), factory: z.string() });

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
  readonly #issuer: () => string;
  readonly #tokens: SignedTokens<z.output<typeof Claims>>;

  /** @param deps.issuer - the public URL, which is the audience too; known once the service listens */
  constructor(deps: SignedTokensDeps) {
    this.#issuer = deps.issuer;
    // RFC 9068, section 2.1.
    const kind = { type: "at+jwt", claims: Claims, maxBytes: 4096, maxSeconds: maxTokenSeconds };
    this.#tokens = new SignedTokens(deps, kind);
  }

  /** Whether the token says of itself that we made it. Says nothing about whether we did. */
  isOurs(token: string): boolean {
    return this.#tokens.isOurs(token);
  }

  /** Sees that a token can be issued. @throws EnvelopeError when the stored key does not open */
  async ready(): Promise<void> {
    await this.#tokens.ready();
  }

  /** @returns the token and its life in seconds */
  async issue(subject: Subject): Promise<{ token: string; seconds: number }> {
    const { credentialId, clientId, factory, scope } = subject;
    const about = { aud: this.#issuer(), sub: credentialId, client_id: clientId, scope, factory: factory.name };
    return this.#tokens.issue(about, subject.expiresAt);
  }

  /** @returns the session that the token was issued for, or `undefined` when it is not valid */
  async verify(token: string): Promise<{ credentialId: string; expiresAt: Date } | undefined> {
    const verified = await this.#tokens.verify(token, this.#issuer());
    if (!verified || verified.isExpired) return undefined;
    return { credentialId: verified.claims.sub, expiresAt: new Date(verified.claims.exp * 1000) };
  }

  /** Whether we issued this token, whatever it is worth now. */
  async wasIssued(token: string): Promise<boolean> {
    return (await this.#tokens.verify(token, this.#issuer())) !== undefined;
  }
}
