import { Problem } from "../http/problem.js";

/** One and the same answer to every credential that is not valid, whatever is wrong with it. */
export const invalidCredential = (): Problem =>
  new Problem(
    "unauthenticated",
    "This token is not valid: mistyped, expired or withdrawn. Ask whoever gave it to you for a new one.",
  );
