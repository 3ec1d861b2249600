import type { IncomingMessage } from "node:http";
import type express from "express";
import type { Caller, FactoryRef } from "../core/caller.js";
import { type DatabaseTrouble, databaseTrouble } from "../core/database-errors.js";
import { type ErrorShape, Problem } from "../core/problem.js";

import { type PageTokens, pageRequest } from "./page.js";

import { type BodyReader, bodyReader } from "./read-body.js";
import { requestFacts } from "./request-facts.js";
import {
  type AnyReply,
  type AnyRouteInput,
  type Identify,
  PreparedJson,
  type ReplySpec,
  type RequestFacts,
  type Route,
  StreamedText,
} from "./route.js";
import { problemDetails, send, sendProblem, sendStream } from "./send.js";
import { validate } from "./validate.js";

/** What the pipe in front of every handler needs. */
export type Pipe = {
  /**
   * @param factory - the name in the path, if there is one: an ID token is worth what that factory's rules say
   * @param takesBareToken - `Authorization` may be the token alone
   * @returns the caller, or `undefined` when no credential was sent; throws the one 401 for any that is not valid
   */
  authenticate(
    request: IncomingMessage,
    factory: string | undefined,
    takesBareToken: boolean,
    facts: AnyRouteInput["request"],
  ): Promise<Caller | undefined>;
  /** The factory of that name, or `undefined` when this caller may not know of it. */
  findFactory(caller: Caller, name: string): Promise<FactoryRef | undefined>;
  /** Counts a request for a costly route. @throws Problem `too-many-requests` when this caller sent too many */
  countCostly(caller: Caller): void;
  /** Writes down that a known caller was refused. Never throws. */
  recordRefusal(refusal: {
    caller: Caller;
    factory: FactoryRef | undefined;
    route: string;
    problem: Problem;
    facts: AnyRouteInput["request"];
  }): Promise<void>;
  pageTokens: PageTokens;
  /** How errors are told to a client that speaks a protocol with errors of its own, at whatever path it comes. */
  errorShapeOf(request: IncomingMessage): ErrorShape | undefined;
  /** True on the port for devices, where a client shows a certificate in place of a token. */
  asksForCertificates?: boolean;
  /** Called once for each answered request. */
  onAnswered(answered: {
    route: string;
    status: number;
    seconds: number;
    facts: Pick<RequestFacts, "id" | "clientId" | "address">;
    caller: Caller | undefined;
    problem: Problem | undefined;
  }): void;
};

const noCredential = ({ asksForCertificates }: Pipe): Problem =>
  new Problem(
    "unauthenticated",
    asksForCertificates
      ? "No certificate was shown. Show the device's, with its key, in the TLS handshake (curl: --cert and --key)."
      : "Present a valid token, as `OSF-TOKEN: <token>` or `Authorization: Bearer <token>`.",
  );

const noFactory = (): Problem => new Problem("not-found", "There is no such factory, or this credential is not of it.");

/** What a known caller is refused with: it is written to the audit. */
export const refusalCodes: ReadonlySet<string> = new Set(["forbidden", "outside-grants", "destination-not-approved"]);

/** Puts every route on the router, in front of each the same pipe: authenticate, authorise, read, validate, run, parse the reply. */
export function mount<Deps>(router: express.Router, routes: readonly Route<Deps>[], deps: Deps, pipe: Pipe): void {
  for (const path of new Set(routes.toSorted(verbsFirst).map(expressPath))) {
    const here = routes.filter((route) => expressPath(route) === path);
    for (const route of here) {
      const readBody = bodyReader(route.body);
      router[route.method](path, (req, res) => answer(route, deps, pipe, readBody, req, res));
    }
    const allowed = here.map((route) => route.method.toUpperCase()).join(", ");
    router.all(path, () => {
      throw new Problem("method-not-allowed", `This path takes ${allowed}.`, { allow: allowed });
    });
  }
}

// `{id}:verb` also fits `{id}`: with every method it must be answered as the path with the verb, and never as an id.
const verbsFirst = (a: Pick<Route<never>, "path">, b: Pick<Route<never>, "path">): number =>
  Number(b.path.includes("}:")) - Number(a.path.includes("}:"));

/** `/a/{b}/c:verb` as path-to-regexp 8 writes it: there a bare colon begins a parameter. */
export function expressPath(route: Pick<Route<never>, "path" | "trailingSlash">): string {
  const path = route.path.replaceAll(":", "\\:").replace(/\{(\w+)\}/g, ":$1");
  return route.trailingSlash === "both" ? `${path}{/}` : path;
}

async function answer<Deps>(
  route: Route<Deps>,
  deps: Deps,
  pipe: Pipe,
  readBody: BodyReader,
  req: express.Request,
  res: express.Response,
): Promise<void> {
  const startedAt = performance.now();
  const facts = requestFacts(req, res);
  let caller: Caller | undefined;
  let factory: FactoryRef | undefined;
  let problem: Problem | undefined;
  try {
    if (route.auth !== "anyone" && route.auth !== "signature") {
      caller = await pipe.authenticate(req, factoryIn(req.params), route.takesBareToken === true, facts);
      if (caller === undefined) throw noCredential(pipe);
      factory = await factoryFor(route, pipe, caller, req.params);
      authorise(route, caller, factory);
      if (route.isCostly) pipe.countCostly(caller);
    }
    const identify: Identify = (whoSigned, of) => {
      caller = whoSigned;
      factory = of;
    };
    const params = route.params ? validate(route.params, req.params, "path") : undefined;
    const query = route.query ? validate(route.query, req.query, "query") : refuseQuery(req.query);
    const page =
      route.query && (await pageRequest(pipe.pageTokens, query, { route: route.id, factoryId: factory?.id, params }));
    const body = await readBody(req, res);
    const known =
      route.auth === "signature" ? { identify } : { ...(caller && { caller }), ...(factory && { factory }) };
    const input = { params, query, body, request: facts, ...known, ...(page && { page }) };
    const reply = await route.handle(deps, input);
    if (reply.body instanceof StreamedText) await sendStream(res, replyHeaders(route, reply, facts.id), reply.body);
    else sendReply(route, res, reply, facts.id);
  } catch (error) {
    problem = asProblem(error);
    if (caller && (refusalCodes.has(problem.code) || (problem.code === "not-found" && !factory))) {
      await pipe.recordRefusal({ caller, factory, route: route.id, problem, facts });
    }
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem, facts.id, pipe.errorShapeOf(req) ?? shapeAt(route, problem));
  }
  const seconds = (performance.now() - startedAt) / 1000;
  pipe.onAnswered({
    route: route.id,
    status: res.statusCode,
    seconds,
    facts,
    caller,
    problem,
  });
}

// A status that the route does not declare in its own shape is declared as a problem.
function shapeAt<Deps>({ errors, replies }: Route<Deps>, problem: Problem): ErrorShape {
  return errors && errors(problem, "").status in replies ? errors : problemDetails;
}

async function factoryFor<Deps>(
  { auth }: Route<Deps>,
  pipe: Pipe,
  caller: Caller,
  params: express.Request["params"],
): Promise<FactoryRef | undefined> {
  if (typeof auth === "object") return pipe.findFactory(caller, String(params.factory));
  return auth === "device" ? caller.factory : undefined;
}

function factoryIn(params: express.Request["params"]): string | undefined {
  return typeof params.factory === "string" ? params.factory : undefined;
}

function authorise<Deps>(route: Route<Deps>, caller: Caller, factory: FactoryRef | undefined): void {
  const { auth } = route;
  if (auth === "anyone" || auth === "signature" || auth === "any-caller") return;
  if (auth === "operator") {
    if (caller.kind !== "operator") throw new Problem("forbidden", "Only an operator's token may do this.");
    return;
  }
  if (auth === "device") {
    if (caller.kind !== "device") throw new Problem("forbidden", "Only a device may do this, with its certificate.");
    return;
  }
  if (factory === undefined) throw noFactory();
  if (!caller.permissions.has(auth.permission)) {
    throw new Problem("forbidden", `This credential lacks the permission ${auth.permission}.`);
  }
}

function refuseQuery(query: unknown): undefined {
  if (typeof query === "object" && query !== null && Object.keys(query).length > 0) {
    throw new Problem("invalid-request", "This takes no query parameters.");
  }
  return undefined;
}

function sendReply<Deps>(route: Route<Deps>, res: express.Response, reply: AnyReply, requestId: string): void {
  const headers = replyHeaders(route, reply, requestId);
  const content = route.replies[reply.status]?.content;
  if (!content) {
    send(res, reply.status, headers, "");
    return;
  }
  const mediaType = mediaTypeOf(content, reply);
  send(res, reply.status, headers, replyBody(content[mediaType], mediaType, reply.body));
}

function replyHeaders<Deps>(route: Route<Deps>, reply: AnyReply, requestId: string): Record<string, string> {
  const spec = route.replies[reply.status];
  if (!spec) throw new Error(`route ${route.id} does not declare status ${reply.status}`);
  const headers: Record<string, string> = { ...reply.headers, "X-Request-Id": requestId };
  if (route.holdsCredential) headers["Cache-Control"] = "no-store";
  if (!spec.content) return headers;
  const mediaType = mediaTypeOf(spec.content, reply);
  headers["Content-Type"] = isJson(mediaType) ? mediaType : (headers["Content-Type"] ?? `${mediaType}; charset=utf-8`);
  return headers;
}

function mediaTypeOf(content: NonNullable<ReplySpec["content"]>, reply: AnyReply): string {
  return reply.mediaType ?? Object.keys(content)[0] ?? "application/json";
}

// A reply is parsed by its declared schema: a column that leaked into it is stripped here.
function replyBody(schema: Route<never>["params"], mediaType: string, body: unknown): string | Buffer {
  if (body instanceof PreparedJson) return body.text;
  if (Buffer.isBuffer(body)) return body;
  if (!schema) throw new Error(`no schema for ${mediaType}`);
  const parsed: unknown = schema.parse(body);
  return isJson(mediaType) ? JSON.stringify(parsed) : String(parsed);
}

function isJson(mediaType: string): boolean {
  return mediaType === "application/json" || mediaType.startsWith("application/x-amz-json-");
}

const unanswered = "The database did not answer. Try again.";

/** For clients: what is wrong with the database's settings is for the log. */
const sentences: Readonly<Record<DatabaseTrouble, string>> = {
  away: unanswered,
  tls: unanswered,
  login: unanswered,
  missing: unanswered,
  "read-only": "The database is read-only just now, so nothing can be written. Try again.",
  crowded: "The database has no free connection just now. Try again.",
  full: "The database has no room just now. Try again.",
  disturbed: "The database gave up this request in favour of another one, or because it took too long. Try again.",
};

/** What the client is told of an error. Anything that is not a `Problem` stays inside. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const trouble = databaseTrouble(error);
  if (trouble !== undefined)
    return new Problem("unavailable", sentences[trouble], { retryAfterSeconds: 1, cause: error });
  return new Problem("internal", "The service failed. The request id finds the reason in its log.", { cause: error });
}
