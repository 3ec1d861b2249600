import { Problem } from "../core/problem.js";

/** How long every limit counts before it begins anew. */
export const windowSeconds = 60;

/** @param waitMs - until the limit begins anew */
export function tooManyRequests(what: string, waitMs: number): Problem {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new Problem("too-many-requests", `${what} Try again in ${seconds} s.`, { retryAfterSeconds: seconds });
}
