import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ErrorShape } from "../core/error-shape.js";
import type { Problem } from "../core/problem.js";
import type { StreamedText } from "./route.js";

/** Sends a complete answer. `res.json` would serialise, tag and inspect it again on every request. */
export function send(
  res: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string | Buffer,
): void {
  res.writeHead(status, { ...headers, "Content-Length": String(Buffer.byteLength(body)) });
  res.end(body);
}

/**
 * Sends a reply in chunks, no faster than the client reads them.
 * @throws what `chunks` throws; a client that goes away only ends it
 */
export async function sendStream(
  res: ServerResponse,
  headers: Record<string, string>,
  { chunks }: StreamedText,
): Promise<void> {
  const first = await chunks.next();
  res.writeHead(200, headers);
  if (!first.done) res.write(first.value);
  try {
    await pipeline(Readable.from(chunks, { objectMode: true, highWaterMark: 1 }), res);
  } catch (error) {
    if (!hasClosedEarly(error)) throw error;
  }
}

function hasClosedEarly(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_STREAM_PREMATURE_CLOSE";
}

/** Sends a problem: as RFC 9457 says, with `message` for fioctl, unless its client knows another shape. */
export function sendProblem(
  res: ServerResponse,
  problem: Problem,
  requestId: string,
  shape: ErrorShape = problemDetails,
): void {
  const { status, headers, body } = shape(problem, requestId);
  const common: Record<string, string> = { ...headers, "Cache-Control": "no-store", "X-Request-Id": requestId };
  if (problem.retryAfterSeconds !== undefined) common["Retry-After"] = String(problem.retryAfterSeconds);
  send(res, status, common, body);
}

/** RFC 9457. */
export const problemDetails: ErrorShape = (problem, requestId) => {
  const headers: Record<string, string> = { "Content-Type": "application/problem+json" };
  if (problem.status === 401) headers["WWW-Authenticate"] = 'Bearer realm="factory-secrets"';
  if (problem.allow !== undefined) headers.Allow = problem.allow;
  return { status: problem.status, headers, body: JSON.stringify(problemDocument(problem, requestId)) };
};

export function problemDocument(problem: Problem, requestId: string): Record<string, unknown> {
  return {
    type: `urn:factory-secrets:problem:${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    code: problem.code,
    message: problem.detail,
    requestId,
    ...(problem.invalid && { invalid: problem.invalid }),
    ...(problem.failures && { failures: problem.failures }),
  };
}
