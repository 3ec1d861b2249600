import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type express from "express";
import type { RequestFacts } from "./route.js";

const processPart = randomBytes(6).toString("base64url");
let counter = 0;

/** A well-formed `X-Request-Id` of the client, or a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  if (typeof given === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(given)) return given;
  counter += 1;
  return `${processPart}-${counter.toString(36)}`;
}

/** Reads from the request what handlers and the audit are told. */
export function requestFacts(req: express.Request, res: express.Response): RequestFacts {
  let controller: AbortController | undefined;
  return {
    id: requestIdOf(req),
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
    accepts(...mediaTypes) {
      const best = req.accepts(mediaTypes);
      return best === false ? undefined : best;
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
