/** The access tokens that this service issues and takes: ES256 JWTs. */
export class AccessTokens {
  /** Whether the token says of itself that we made it. Says nothing about whether we did. */
  isOurs(_token: string): boolean {
    return false;
  }

  /** @returns the session that the token was issued for, or `undefined` when it is not valid */
  async verify(_token: string): Promise<{ credentialId: string; expiresAt: Date } | undefined> {
    return undefined;
  }
}
