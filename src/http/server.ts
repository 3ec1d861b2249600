import { constants } from "node:crypto";
import {
  createServer,
  IncomingMessage,
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  type Server,
  ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Duplex } from "node:stream";
import express from "express";
import { type ErrorShape, Problem } from "../core/problem.js";

import { guardHandshakes, type HandshakeGuard } from "./guard-handshakes.js";
import { asProblem, mount, type Pipe } from "./mount.js";
import { drain } from "./read-body.js";
import { createRequestId, requestFacts } from "./request-facts.js";
import type { Route } from "./route.js";
import { sendProblem } from "./send.js";
import type { TlsCertificate } from "./tls-certificate.js";
import { isOnWire, mountWire, type Wire } from "./wire.js";

/**
 * Most headers of a request. Node leaves out what exceeds a number of its own and says nothing: a client that sends
 * thousands could make the last ones disappear, which a proxy may have put there to say whose request it is.
 */
const maxHeaders = 200;

/**
 * What of a request's headers could be read in two ways, by us and by a proxy in front of us: of several with one name
 * Node keeps the first, and another may go by the last (RFC 9110, section 5.3; for Host, RFC 9112, section 3.2).
 * @returns the problem to answer with, or `undefined`
 */
function ambiguousHeaders({ rawHeaders, httpVersion }: IncomingMessage): Problem | undefined {
  if (rawHeaders.length > 2 * maxHeaders) {
    return new Problem("header-too-large", `The request has more than ${maxHeaders} headers.`);
  }
  const { hosts, authorizations } = countSingles(rawHeaders);
  if (hosts === 0 && httpVersion !== "1.0") return new Problem("invalid-request", "The header Host is missing.");
  if (hosts > 1) return twice("Host");
  return authorizations > 1 ? twice("Authorization") : undefined;
}

const twice = (name: string): Problem => new Problem("invalid-request", `The header ${name} appears more than once.`);

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

/** Without a limit of ours, a connection may take two minutes of handshake and hold its socket. */
const handshakeMs = 10_000;

const refusalDelayMs = 1_000;

/** An ID token of up to 16 KiB must arrive, and base64 of it too. */
const maxHeaderBytes = 48 * 1024;

/** Is asked before anything is done for a request. Gives what it is answered with, if it goes no further. */
export type RefuseEarly = (request: IncomingMessage, addressOf: () => string) => Problem | undefined;

/** Makes the HTTP server of these routes, or the HTTPS server when it has a certificate. It does not listen yet. */
export function createHttpServer<Deps>(input: {
  routes: readonly Route<Deps>[];
  deps: Deps;
  pipe: Pipe;
  /** Another program's protocol beside the routes. */
  wire?: Wire | undefined;
  /** Addresses and CIDRs whose `X-Forwarded-For` is believed. */
  trustedProxies: readonly string[];
  certificate?: TlsCertificate | undefined;
  refuseEarly?: RefuseEarly;
  /** Ask every client for a certificate. The handshake takes any, and none: what one is worth is judged for each request. */
  asksForCertificates?: HandshakeGuard;
  drain?: Drain;
}): Server {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("case sensitive routing", true);
  app.set("strict routing", true);
  app.set("query parser", "simple");
  app.set("trust proxy", [...input.trustedProxies]);
  const router = express.Router({ caseSensitive: true, strict: true });
  const asksForCertificates = input.asksForCertificates !== undefined;
  const pipe = { ...input.pipe, asksForCertificates };
  if (input.wire) mountWire(router, input.wire, pipe);
  mount(router, input.routes, input.deps, pipe);
  const shapeFor = (request: IncomingMessage) =>
    input.wire && isOnWire(input.wire, request) ? input.wire.errorsFor({ request }) : pipe.errorShapeOf(request);
  app.use(router);
  app.use((_req, _res, next) => next(noRoute(asksForCertificates)));
  app.use((error: unknown, req: express.Request, res: express.Response, _next: express.NextFunction) => {
    const problem = routingProblem(error);
    const facts = requestFacts(req, res);
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem, facts.id, shapeFor(req));
    pipe.onAnswered({
      route: "unrouted",
      status: res.statusCode,
      seconds: 0,
      facts,
      caller: undefined,
      problem,
    });
  });
  // Node's own answer to a request without Host has no body.
  const options = { ...classesOf(app, input.drain), maxHeaderSize: maxHeaderBytes, requireHostHeader: false };
  const listener: Listener = (req, res) => {
    if (condemned.has(req.socket)) return;
    const ambiguous = ambiguousHeaders(req);
    if (ambiguous) return refuse(res, ambiguous, shapeFor(req));
    const refused = input.refuseEarly?.(req, () => req.ip ?? "");
    if (!refused) app(req, res);
    else if (req.ip === req.socket.remoteAddress) refuseLate(req, res, refused, shapeFor(req));
    else sendProblem(res, refused, createRequestId(), shapeFor(req));
  };
  const server = createListener(options, input, listener);
  // Node would say `100 Continue` by itself: here the reader of the body says it, once the caller may send one.
  server.on("checkContinue", listener);
  configure(server);
  return server;
}

/** Answers in our own words where Node would not, and the times that suit a proxy in front of us. */
function configure(server: Server): void {
  // Node's own answer to this has no body either.
  server.on("checkExpectation", (_req, res) => {
    refuse(res, new Problem("expectation-failed", "Of the header Expect only 100-continue is known. Leave it out."));
  });
  // Longer than a proxy's usual 60 s: the side that opened a connection should be the one that closes it.
  server.keepAliveTimeout = 65_000;
  server.headersTimeout = 66_000;
  // One more is kept, by which it is seen that there are more.
  server.maxHeadersCount = maxHeaders + 1;
  server.on("clientError", answerClientError);
}

const noRoute = (isForDevices: boolean): Problem =>
  new Problem(
    "not-found",
    isForDevices
      ? "There is nothing at this path of the port for devices. The other port's /openapi.json lists every route."
      : "There is nothing at this path. /openapi.json lists every route.",
  );

// Node lets clients renegotiate in TLS 1.2: that makes work, and could put another certificate in the place of the one
// that the connection began with.
const always = constants.SSL_OP_NO_RENEGOTIATION;

// Without tickets, and Node keeps no sessions: each connection shows its certificate and proves its key anew.
const askingForCertificates = {
  requestCert: true,
  rejectUnauthorized: false,
  secureOptions: always | constants.SSL_OP_NO_TICKET,
};

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];
type Classes = ReturnType<typeof classesOf>;
type Listener = (
  req: InstanceType<Classes["IncomingMessage"]>,
  res: InstanceType<Classes["ServerResponse"]> & { req: InstanceType<Classes["IncomingMessage"]> },
) => void;

function createListener(
  options: Classes & { maxHeaderSize: number; requireHostHeader: boolean },
  {
    certificate,
    asksForCertificates: guard,
  }: { certificate?: TlsCertificate | undefined; asksForCertificates?: HandshakeGuard },
  listener: Listener,
): Server {
  if (!certificate) return createServer(options, listener);
  const asking = guard ? askingForCertificates : { secureOptions: always };
  const secure = { ...options, ...certificate.current(), ...asking, handshakeTimeout: handshakeMs };
  const server = createTlsServer(secure, listener);
  if (guard) guardHandshakes(server, guard);
  certificate.keepUpToDate(server, { secureOptions: asking.secureOptions });
  return server;
}

// Express sets the prototype of every request and reply, which throws V8's caches away for the rest of the request:
// half of all its time. Objects that are born with that prototype make the change a no-op.
function classesOf(app: express.Express, drain?: Drain) {
  class Request extends IncomingMessage {
    /** Express gives it, by the trusted proxies. */
    declare readonly ip: string | undefined;
  }
  class Response extends ServerResponse<Request> {
    // Every answer passes here, no matter who writes it and whenever its request came.
    override writeHead(status: number, first?: string | Headers, second?: Headers): this {
      if (drain?.begun) this.shouldKeepAlive = false;
      return typeof first === "string" ? super.writeHead(status, first, second) : super.writeHead(status, first);
    }
  }
  Object.setPrototypeOf(Request.prototype, app.request);
  Object.setPrototypeOf(Response.prototype, app.response);
  Object.assign(app, { request: Request.prototype, response: Response.prototype });
  return { IncomingMessage: Request, ServerResponse: Response };
}

function routingProblem(error: unknown): Problem {
  // Express answers a path that does not decode with a URIError that quotes it.
  if (error instanceof URIError) return new Problem("invalid-request", "The path is not validly percent-encoded.");
  return asProblem(error);
}

/** Connections that are closed with the answer that is being held back. What they send in the meantime is not looked at. */
const condemned = new WeakSet<Duplex>();

// A refusal is so cheap to ask for that a fast one would be worth a flood. Held back, a connection gets one a second. Not
// to a proxy, whose connection is everybody's.
function refuseLate(req: IncomingMessage, res: ServerResponse, problem: Problem, shape: ErrorShape | undefined): void {
  condemned.add(req.socket);
  // A body is read and dropped: what is left unread when a connection closes can take the answer with it.
  void drain(req).then(() => req.socket.pause());
  setTimeout(() => refuse(res, problem, shape), refusalDelayMs);
}

function refuse(res: ServerResponse, problem: Problem, shape?: ErrorShape): void {
  res.shouldKeepAlive = false;
  sendProblem(res, problem, createRequestId(), shape);
}

type ClientError = Error & { code?: string };

// Node has not made a reply object here: the bytes go to the socket.
function answerClientError(error: ClientError, socket: Duplex): void {
  // A handshake that failed leaves no one who could read an answer.
  const isHandshake = /^ERR_(SSL|TLS)_/.test(error.code ?? "");
  if (isHandshake || error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === "HPACK_OVERFLOW" || error.code === "HPE_HEADER_OVERFLOW";
  const problem = tooLarge
    ? new Problem("header-too-large", `The headers are larger than ${maxHeaderBytes} bytes.`)
    : new Problem("invalid-request", "This is not a valid HTTP request.");
  const status = tooLarge ? "431 Request Header Fields Too Large" : "400 Bad Request";
  const body = JSON.stringify({
    type: `urn:factory-secrets:problem:${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    code: problem.code,
    message: problem.detail,
    requestId: "none",
  });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/**
 * Whether this replica is about to stop. From then on `/readyz` is 503, so proxies send their requests elsewhere, and
 * each answer closes its connection, so clients that keep theirs come back to another replica. Nothing is refused yet.
 */
export type Drain = {
  readonly begun: boolean;
  begin(): void;
};

export function createDrain(): Drain {
  let begun = false;
  return {
    get begun() {
      return begun;
    },
    begin() {
      begun = true;
    },
  };
}
