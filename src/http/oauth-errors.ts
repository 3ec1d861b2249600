import type { ErrorShape, ProblemCode } from "../core/problem.js";

import { problemDocument } from "./send.js";

const errorOfCode: Partial<Record<ProblemCode, string>> = {
  "invalid-client": "invalid_client",
  "invalid-grant": "invalid_grant",
  "invalid-scope": "invalid_scope",
  "unsupported-grant-type": "unsupported_grant_type",
};

/**
 * A problem as RFC 6749, section 5.2, has an error. The members of a problem stand beside: fioctl
 * prints `message`.
 */
export const oauthErrors: ErrorShape = (problem, requestId) => {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (problem.code === "invalid-client") headers["WWW-Authenticate"] = 'Basic realm="factory-secrets", charset="UTF-8"';
  else if (problem.status === 401) headers["WWW-Authenticate"] = 'Bearer realm="factory-secrets"';
  // A token that cannot be exchanged is an invalid request: RFC 8693, section 2.2.2.
  const error = errorOfCode[problem.code] ?? "invalid_request";
  const body = { error, error_description: oauthText(problem.detail), ...problemDocument(problem, requestId) };
  return { status: problem.status, headers, body: JSON.stringify(body) };
};

/** RFC 6749, section 5.2: neither a quotation mark nor a backslash may stand in a description. */
function oauthText(text: string): string {
  return text.replaceAll('"', "'").replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "?");
}
