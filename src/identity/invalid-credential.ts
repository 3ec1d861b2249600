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
    "This token is not valid: mistyped, expired or withdrawn. Get a new one. For an ID token, an admin sees with trust-rules:explain why no rule takes it.",
    reason === undefined ? {} : { cause: new CredentialRefused(reason) },
  );
