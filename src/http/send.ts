import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ErrorShape, Problem } from "../core/problem.js";
import { drain, isUnread } from "./read-body.js";
import type { StreamedText } from "./route.js";

/**
 * Sends a complete answer. `res.json` would serialise, tag and inspect it again on every request. Where the request's body
 * has not arrived, the connection closes after the answer.
 */
export function send(
  res: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string | Buffer,
): void {
  const sent = { ...headers, "Content-Length": String(Buffer.byteLength(body)) };
  if (!isUnread(res.req)) {
    res.writeHead(status, sent).end(body);
    return;
  }
  res.statusCode = status;
  // A body that came together with the headers is there in the next turn.
  setImmediate(() => {
    if (isUnread(res.req)) sendLast(res, status, sent, body);
    else res.writeHead(status, sent).end(body);
  });
}

function sendLast(res: ServerResponse, status: number, headers: Record<string, string>, body: string | Buffer): void {
  res.writeHead(status, { ...headers, Connection: "close" });
  res.flushHeaders();
  if (body.length > 0) res.write(body);
  // The client has the whole answer by now. The end is what closes the connection.
  void drain(res.req).then(() => res.end());
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
  const isLast = isUnread(res.req);
  if (isLast) await drain(res.req);
  res.writeHead(200, isLast ? { ...headers, Connection: "close" } : headers);
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
  const { status, reason, headers, body } = shape(problem, requestId);
  const common: Record<string, string> = { ...headers, "Cache-Control": "no-store", "X-Request-Id": requestId };
  if (problem.retryAfterSeconds !== undefined) common["Retry-After"] = String(problem.retryAfterSeconds);
  if (reason !== undefined) res.statusMessage = reason;
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
