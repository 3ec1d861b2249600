import { Problem } from "../core/problem.js";

/** What is wrong with a credential: a code for the log. Whoever presents it is never told. */
export class CredentialRefused extends Error {
  override readonly name = "CredentialRefused";

  /** @param isGuess - counts against the address that it came from; not so what was valid once, or what is not there */
  constructor(
    readonly reason: string,
    readonly isGuess = true,
  ) {
    super(reason);
  }
}

/** Whether a refusal is a failed authentication of the address that it came from. */
export function isFailedAuthentication(problem: Problem | undefined): boolean {
  if (problem?.code !== "unauthenticated" && problem?.code !== "invalid-client") return false;
  return !(problem.cause instanceof CredentialRefused) || problem.cause.isGuess;
}

/** One and the same answer to every credential that is not valid, whatever is wrong with it. */
export const invalidCredential = (reason?: string | CredentialRefused): Problem =>
  new Problem(
    "unauthenticated",
    "This token is not valid: mistyped, expired or withdrawn. Get a new one. For an ID token, an admin sees with trust-rules:explain why no rule takes it.",
    reason === undefined ? {} : { cause: typeof reason === "string" ? new CredentialRefused(reason) : reason },
  );
