import { Problem } from "../core/problem.js";

/** What is wrong with a credential: a code for the log. Whoever presents it is never told. */
export class CredentialRefused extends Error {
  override readonly name = "CredentialRefused";

  constructor(readonly reason: string) {
    super(reason);
  }
}

/** One and the same answer to every credential that is not valid, whatever is wrong with it. */
export const invalidCredential = (reason?: string): Problem =>
  new Problem(
    "unauthenticated",
    "This token is not valid: mistyped, expired or withdrawn, or an ID token that no trust rule takes, or that is not valid yet by the clock of this service (the Date of this reply; compare it with the token's iat and nbf). Get a new one; why an ID token is not taken an admin sees with trust-rules:explain.",
    reason === undefined ? {} : { cause: new CredentialRefused(reason) },
  );
