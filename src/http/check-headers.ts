import type { IncomingMessage } from "node:http";
import { Problem } from "../core/problem.js";

/**
 * Most headers of a request. Node leaves out what exceeds a number of its own and says nothing: a client that sends
 * thousands could make the last ones disappear, which a proxy may have put there to say whose request it is.
 */
export const maxHeaders = 200;

/**
 * What of a request's headers could be read in two ways, by us and by a proxy in front of us: of several with one name
 * Node keeps the first, and another may go by the last (RFC 9110, section 5.3; for Host, RFC 9112, section 3.2).
 * @returns the problem to answer with, or `undefined`
 */
export function ambiguousHeaders({ rawHeaders, httpVersion }: IncomingMessage): Problem | undefined {
  if (rawHeaders.length > 2 * maxHeaders) {
    return new Problem("header-too-large", `The request has more than ${maxHeaders} headers.`);
  }
  const { hosts, authorizations } = countSingles(rawHeaders);
  if (hosts === 0 && httpVersion !== "1.0") return new Problem("invalid-request", "The header Host is missing.");
  if (hosts > 1) return twice("Host");
  return authorizations > 1 ? twice("Authorization") : undefined;
}

const twice = (name: string): Problem =>
  new Problem("invalid-request", `The header ${name} stands here more than once.`);

function countSingles(rawHeaders: readonly string[]): { hosts: number; authorizations: number } {
  let hosts = 0;
  let authorizations = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    // The lengths first: this runs for every request.
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
    else if (name.length === 13 && name.toLowerCase() === "authorization") authorizations += 1;
  }
  return { hosts, authorizations };
}
