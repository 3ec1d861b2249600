import { type ErrorShape, Problem, type ProblemCode, type ProblemExtras } from "../core/problem.js";

/** Error codes of the distribution specification, and those that docker's registry has beside them. */
export type OciCode =
  | "BLOB_UNKNOWN"
  | "DENIED"
  | "DIGEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "TOOMANYREQUESTS"
  | "UNAUTHORIZED"
  | "UNAVAILABLE"
  | "UNKNOWN"
  | "UNSUPPORTED";

/** A problem for which the specification has a code of its own. */
export class OciProblem extends Problem {
  constructor(
    readonly ociCode: OciCode,
    code: ProblemCode,
    detail: string,
    extras: ProblemExtras = {},
  ) {
    super(code, detail, extras);
  }
}

/** What clients do with a status decides which one they get: they try 5xx again, and print what is said with a 403. */
const told: Partial<Record<ProblemCode, { status: number; code: OciCode }>> = {
  unauthenticated: { status: 401, code: "UNAUTHORIZED" },
  "not-found": { status: 404, code: "NAME_UNKNOWN" },
  // A mirror's client then asks the next host: an entry is not needed for every registry that a runtime pulls from.
  "registry-unknown": { status: 404, code: "NAME_UNKNOWN" },
  "registry-required": { status: 404, code: "NAME_UNKNOWN" },
  "method-not-allowed": { status: 405, code: "UNSUPPORTED" },
  "too-many-requests": { status: 429, code: "TOOMANYREQUESTS" },
  "upstream-throttled": { status: 429, code: "TOOMANYREQUESTS" },
  conflict: { status: 503, code: "UNAVAILABLE" },
  // The registry will say it again.
  "upstream-refused": { status: 403, code: "DENIED" },
};

function inOciWords(problem: Problem): { status: number; code: OciCode } {
  const known = told[problem.code];
  if (problem instanceof OciProblem) return { status: known?.status ?? problem.status, code: problem.ociCode };
  if (known) return known;
  const { status } = problem;
  if (status >= 500) return { status, code: status === 500 ? "UNKNOWN" : "UNAVAILABLE" };
  // What the config or the secret lacks keeps the caller from pulling, and the sentence says what it is.
  if (status === 403 || status === 422) return { status: 403, code: "DENIED" };
  return { status, code: "UNSUPPORTED" };
}

/**
 * A problem as the distribution specification has errors ("Error Codes"). An answer to HEAD has no body, and `ctr` prints
 * the reason phrase: there the sentence stands too.
 * @param asked - `challenge`: the `WWW-Authenticate` of a 401
 */
export function ociErrors(asked: { isHead: boolean; challenge: (problem: Problem) => string }): ErrorShape {
  return (problem) => {
    const { status, code } = inOciWords(problem);
    const headers: Record<string, string> = { ...commonHeaders, "Content-Type": "application/json" };
    if (status === 401) headers["WWW-Authenticate"] = asked.challenge(problem);
    if (problem.allow !== undefined) headers.Allow = problem.allow;
    const body = JSON.stringify({ errors: [{ code, message: problem.detail, detail: problem.code }] });
    return { status, headers, body, ...(asked.isHead && { reason: reasonPhrase(problem.detail) }) };
  };
}

/**
 * The same at the token endpoint. Clients print the body of a 401 there, and not that of another refusal (skopeo, podman).
 */
export function tokenErrors(): ErrorShape {
  const shape = ociErrors({ isHead: false, challenge: () => 'Basic realm="factory-secrets", charset="UTF-8"' });
  return (problem, requestId) => {
    const isRefused = [400, 403, 404, 415, 422].includes(problem.status);
    const refusal = isRefused ? new OciProblem("UNAUTHORIZED", "unauthenticated", problem.detail) : problem;
    return shape(refusal, requestId);
  };
}

/** By which clients recognise a registry. */
export const commonHeaders = { "Docker-Distribution-API-Version": "registry/2.0" } as const;

const maxReasonLength = 160;

/** RFC 9112, section 4: one line of visible ASCII. Short, as it precedes a log line. */
function reasonPhrase(sentence: string): string {
  const ascii = sentence.replace(/[^\x20-\x7e]+/g, "?");
  return ascii.length <= maxReasonLength ? ascii : `${ascii.slice(0, maxReasonLength - 3).trimEnd()}...`;
}
