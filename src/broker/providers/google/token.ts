import { z } from "zod";
import { Problem } from "../../../core/problem.js";
import { ForeignToken } from "../../../outbound/foreign-json.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import { lifeOf, type TokenLife } from "../token-life.js";
import {
  type Named,
  parseJsonBody,
  secretMalformed,
  upstreamInvalid,
  upstreamRefused,
  upstreamThrottled,
} from "../upstream-reply.js";
import type { GoogleServiceAccount } from "./service-account.js";

/** Where a service account's signature buys an access token. */
export const googleTokenHost = "oauth2.googleapis.com";

const service = "Google";

/** How long a token is used that does not state its end; Google's live an hour. */
export const googleTokenSeconds = 3_600;

export type GoogleAccessToken = { accessToken: string; life: TokenLife };

/**
 * An access token of a service account, about an hour, for one OAuth scope.
 * Source: Google Identity, "Using OAuth 2.0 for Server to Server Applications".
 */
export async function getGoogleToken(
  deps: { outbound: CloudOutbound; now: () => Date },
  request: Named & { signal: AbortSignal },
  account: GoogleServiceAccount,
  scope: string,
): Promise<GoogleAccessToken> {
  const { JWT } = await import("google-auth-library");
  const transport = createGoogleTransport(deps.outbound, request.signal);
  const client = new JWT({
    email: account.clientEmail,
    key: account.privateKey,
    scopes: [scope],
    // Its interceptors exist for logging, which an environment variable can turn on: replies hold tokens.
    useAuthRequestParameters: false,
    transporterOptions: {
      fetchImplementation: transport.fetch,
      retryConfig: { retry: 2, noResponseRetries: 0 },
    },
  });
  const tokens = await client.authorize().catch(() => {
    // The library's error holds the request and the reply; how the call ended is known without it.
    throw googleFailure(request, transport.lastOutcome(), deps.now().getTime());
  });
  const token = ForeignToken.safeParse(tokens.access_token);
  if (!token.success) throw upstreamInvalid(service, "its reply holds no access token");
  const nowMs = deps.now().getTime();
  // The library adds the life to the process's own clock.
  const lifeMs = tokens.expiry_date ? tokens.expiry_date - Date.now() : undefined;
  const end = lifeMs === undefined || lifeMs <= 0 ? undefined : nowMs + lifeMs;
  return { accessToken: token.data, life: lifeOf(service, nowMs, [end], googleTokenSeconds) };
}

const meanings: ReadonlyMap<string, string> = new Map([
  ["invalid_grant", "the key was deleted, the service account is disabled or gone, or this service's clock is off."],
  ["invalid_client", "the service account does not exist."],
  ["unauthorized_client", "the service account may not ask for this scope."],
  ["access_denied", "an organisation policy forbids it."],
]);

function googleFailure(request: Named, outcome: GoogleOutcome | undefined, nowMs: number): unknown {
  if (outcome === undefined) return secretMalformed(request, ["Its private_key cannot sign."]);
  if (outcome.kind === "stopped") return outcome.reason;
  if (outcome.status === 429) return upstreamThrottled(service, outcome.retryAfter, nowMs);
  if (outcome.status >= 500) {
    return new Problem("upstream-unreachable", `${service} failed with status ${outcome.status}. Try again later.`);
  }
  if (outcome.status < 400) return upstreamInvalid(service, "its reply cannot be read");
  const meaning = meanings.get(outcome.error) ?? "see Google's list of OAuth errors.";
  return upstreamRefused(request, service, `${outcome.error}, ${meaning}`);
}

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
