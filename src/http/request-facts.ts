import { randomBytes } from "node:crypto";
import type express from "express";
import type { RequestFacts } from "./route.js";

const processPart = randomBytes(6).toString("base64url");
let counter = 0;

/** Reads from the request what handlers and the audit are told. A well-formed `X-Request-Id` of the client is kept. */
export function requestFacts(req: express.Request, res: express.Response): RequestFacts {
  const given = req.headers["x-request-id"];
  let controller: AbortController | undefined;
  counter += 1;
  return {
    id:
      typeof given === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(given)
        ? given
        : `${processPart}-${counter.toString(36)}`,
    address: req.ip ?? "",
    authorization: req.headers.authorization,
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
  };
}

function abortOnClose(res: express.Response): AbortController {
  const controller = new AbortController();
  res.once("close", () => {
    if (!res.writableFinished) controller.abort();
  });
  return controller;
}
