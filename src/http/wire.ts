import type { IncomingMessage, ServerResponse } from "node:http";
import type express from "express";
import type { Caller, FactoryRef } from "../core/caller.js";
import type { ErrorShape, Problem } from "../core/problem.js";

import { asProblem, type Pipe, refusalCodes } from "./mount.js";
import { requestFacts } from "./request-facts.js";
import type { RequestFacts } from "./route.js";
import { sendProblem } from "./send.js";

/** A request of another program's protocol. */
export type WireRequest = {
  request: IncomingMessage;
  response: ServerResponse;
  facts: RequestFacts;
  /** As it was sent: nothing in it is decoded. */
  path: string;
  query: URLSearchParams;
  /** How the client reaches us by its own account, or by that of a proxy that is trusted. */
  askedAt: { scheme: string; host: string; isForwarded: boolean };
  /** It came to the port for devices. */
  isForDevices: boolean;
};

/** What is found out about a request while it is answered: for the log, the metrics and the audit of refusals. */
export type Learned = { operation: string; caller?: Caller; factory?: FactoryRef };

/**
 * A protocol of other programs, under a prefix of its own. It is for what `route()` cannot declare: paths with names of
 * any depth, HEAD apart from GET, bytes of any length, and errors in the protocol's own form at every path. It
 * authenticates and authorises by itself, and is in no OpenAPI document.
 */
export type Wire = {
  /** Without a slash at its end. */
  prefix: `/${string}`;
  /** Sends the answer, or throws before its first byte. */
  answer(asked: WireRequest, learned: Learned): Promise<void>;
  /** How its clients are told errors. */
  errorsFor(asked: Pick<WireRequest, "request"> & Partial<WireRequest>): ErrorShape;
};

/** Whether a request is for this wire. */
export function isOnWire(wire: Pick<Wire, "prefix">, { url = "" }: IncomingMessage): boolean {
  const path = url.split("?", 1)[0] ?? "";
  return path === wire.prefix || path.startsWith(`${wire.prefix}/`);
}

/** Puts a wire on the router, in front of all routes. */
export function mountWire(router: express.Router, wire: Wire, pipe: Pipe): void {
  router.use((req, res, next) => (isOnWire(wire, req) ? answerOnWire(wire, pipe, req, res) : next()));
}

async function answerOnWire(wire: Wire, pipe: Pipe, req: express.Request, res: express.Response): Promise<void> {
  const startedAt = performance.now();
  const asked = wireRequest(pipe, req, res);
  const { facts } = asked;
  const learned: Learned = { operation: "unrouted" };
  let problem: Problem | undefined;
  try {
    await wire.answer(asked, learned);
  } catch (error) {
    problem = asProblem(error);
    const { caller, factory, operation: route } = learned;
    if (caller && (refusalCodes.has(problem.code) || (problem.code === "not-found" && !factory))) {
      await pipe.recordRefusal({ caller, factory, route, problem, facts });
    }
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem, facts.id, wire.errorsFor(asked));
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const { operation: route, caller } = learned;
  pipe.onAnswered({ route, status: res.statusCode, seconds, facts, caller, problem });
}

function wireRequest(pipe: Pipe, req: express.Request, res: express.Response): WireRequest {
  const [path = "", ...query] = req.url.split("?");
  // Express takes `X-Forwarded-Host` from a proxy that is trusted only.
  const host = req.host ?? "";
  return {
    request: req,
    response: res,
    facts: requestFacts(req, res),
    path,
    query: new URLSearchParams(query.join("?")),
    askedAt: { scheme: req.protocol, host, isForwarded: host !== req.headers.host },
    isForDevices: pipe.asksForCertificates === true,
  };
}
