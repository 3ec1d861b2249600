import { z } from "zod";
import type { CloudOutbound } from "./cloud-hosts.js";
import { parseJsonBody } from "./upstream-reply.js";

/** How the last call of a transport ended. */
export type GoogleOutcome =
  | { kind: "answered"; status: number; error: string; retryAfter: string | undefined }
  /** There was no answer; `reason` is what the guard threw. */
  | { kind: "stopped"; reason: unknown };

/** The way out for one use of google-auth-library, which takes a function like `fetch`. */
export type GoogleTransport = { fetch: typeof fetch; lastOutcome(): GoogleOutcome | undefined };

// RFC 6749, section 5.2. Anything longer or stranger is not repeated to a person.
const oauthError = z.object({ error: z.string().regex(/^[a-z_]{1,40}$/) });

/**
 * Sends the library's calls through the guard and remembers how the last one ended, because the library's own errors
 * carry request and reply with them.
 */
export function createGoogleTransport(outbound: CloudOutbound, signal: AbortSignal): GoogleTransport {
  let outcome: GoogleOutcome | undefined;
  return {
    lastOutcome: () => outcome,
    fetch: async (input, init) => {
      try {
        const reply = await outbound.request({
          url: input instanceof Request ? input.url : input,
          method: init?.method?.toUpperCase() === "POST" ? "POST" : "GET",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          ...(init?.body == null ? {} : { body: String(init.body) }),
          signal,
        });
        const error = oauthError.safeParse(parseJsonBody(reply));
        outcome = {
          kind: "answered",
          status: reply.status,
          error: error.success ? error.data.error : `status ${reply.status}`,
          retryAfter: reply.headers["retry-after"]?.[0],
        };
        const contentType = reply.headers["content-type"]?.[0] ?? "application/json";
        return new Response(new Uint8Array(reply.body), {
          status: reply.status,
          headers: { "content-type": contentType },
        });
      } catch (reason) {
        outcome = { kind: "stopped", reason };
        throw new Error("The call did not get an answer.");
      }
    },
  };
}
