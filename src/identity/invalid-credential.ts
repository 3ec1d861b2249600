import { Problem } from "../http/problem.js";

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
    "This token is not valid: mistyped, expired or withdrawn. Ask whoever gave it to you for a new one.",
    reason === undefined ? {} : { cause: new CredentialRefused(reason) },
  );
