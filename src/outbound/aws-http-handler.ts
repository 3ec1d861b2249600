import { Readable } from "node:stream";
import type { Outbound } from "./outbound.js";

/**
 * What a call through the guard failed with, wrapped so that the SDK neither retries it nor looks for a cause: its retry
 * rule follows `cause` and would try a timeout again. The SDK's retries are for answers (throttling, 5xx).
 */
export class GuardedCallError extends Error {
  override readonly name = "GuardedCallError";
  constructor(readonly reason: unknown) {
    super("The call did not get an answer.");
  }
}

// The part of the SDK's HttpRequest that is sent. Queries do not occur: STS, ECR and KMS take POST with a body.
type SdkRequest = {
  method: string;
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  headers: Record<string, string>;
  body?: unknown;
};

type SdkHandlerOptions = { abortSignal?: unknown };

/** An HTTP handler for the AWS SDK whose calls go through the guard. */
export function guardedHandler(outbound: Pick<Outbound, "request">) {
  return {
    async handle(request: SdkRequest, options: SdkHandlerOptions = {}) {
      const port = request.port === undefined ? "" : `:${request.port}`;
      try {
        const reply = await outbound.request({
          url: `${request.protocol}//${request.hostname}${port}${request.path}`,
          method: request.method === "GET" ? "GET" : "POST",
          headers: withoutTransportHeaders(request.headers),
          ...(typeof request.body === "string" || request.body instanceof Uint8Array ? { body: request.body } : {}),
          ...(options.abortSignal instanceof AbortSignal ? { signal: options.abortSignal } : {}),
        });
        const headers = Object.fromEntries(
          Object.entries(reply.headers).map(([name, values]) => [name, values.join(", ")]),
        );
        return { response: { statusCode: reply.status, headers, body: Readable.from([reply.body]) } };
      } catch (error) {
        throw new GuardedCallError(error);
      }
    },
    // The pool belongs to the guard, not to one client.
    destroy: () => undefined,
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => ({}),
  };
}

// undici writes these two itself, with the same values; `host` is signed and equals the URL's.
function withoutTransportHeaders(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !["host", "content-length"].includes(name.toLowerCase())),
  );
}
