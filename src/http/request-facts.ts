import { randomFillSync } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type express from "express";
import type { RequestFacts } from "./route.js";

/** Bytes of one id: 128 bits, so that ids neither meet nor tell how many requests there are. */
const idBytes = 16;
/** Random bytes for 256 ids: one call for each id would take longer than all the rest of it. */
const pool = Buffer.alloc(256 * idBytes);
let poolAt = pool.length;

/** A new random id, as 32 hexadecimal digits. */
export function createRequestId(): string {
  if (poolAt === pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  poolAt += idBytes;
  return pool.toString("hex", poolAt - idBytes, poolAt);
}

/** The client's own `X-Request-Id`, if it is well formed. */
function clientRequestIdOf(request: IncomingMessage): string | undefined {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : undefined;
}

/** Reads from the request what handlers and the audit are told. */
export function requestFacts(req: express.Request, res: express.Response): RequestFacts {
  let controller: AbortController | undefined;
  return {
    id: createRequestId(),
    clientId: clientRequestIdOf(req),
    address: req.ip ?? "",
    authorization: req.headers.authorization,
    get sent() {
      return { method: req.method, target: req.originalUrl, headers: req.headers, rawHeaders: req.rawHeaders };
    },
    ifMatch: req.headers["if-match"],
    ifNoneMatch: req.headers["if-none-match"],
    // Made only when asked for: most requests are answered from memory and have nothing to abort.
    get signal() {
      controller ??= abortOnClose(res);
      return controller.signal;
    },
    acceptsGzip: () => req.acceptsEncodings("gzip") === "gzip",
  };
}

function abortOnClose(res: express.Response): AbortController {
  const controller = new AbortController();
  res.once("close", () => {
    if (!res.writableFinished) controller.abort();
  });
  return controller;
}
