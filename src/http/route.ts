import type { IncomingHttpHeaders } from "node:http";
import type { z } from "zod";
import type { Caller, FactoryRef } from "../core/caller.js";
import type { Permission } from "../core/permissions.js";
import type { ErrorShape, ProblemCode } from "../core/problem.js";
import type { Tag } from "./openapi.js";
import type { PageRequest } from "./page.js";

// This file and mount.ts type the route machinery: here alone a handler's exact types meet a list of all routes.

/**
 * Who may call a route: anyone; any valid credential; an operator; a device with its certificate; or a credential of the
 * factory in the path that holds the permission (operators hold every one). `signature`: the signer of the request. That
 * can be told only once its body is there, so the handler checks it and says with `identify` who it was.
 */
export type RouteAuth = "anyone" | "any-caller" | "operator" | "device" | "signature" | { permission: Permission };

/** How much JSON a route takes, where that is not the usual. `maxValues` counts objects, lists and what is in them. */
export type JsonLimits = { maxBytes?: number; maxValues?: number };

/** A body in JSON, checked by `schema`; or a document handed to the handler as its bytes. */
export type JsonBody<S extends z.ZodType = z.ZodType> = { kind: "json"; schema: S } & JsonLimits;
/** A form (`application/x-www-form-urlencoded`) whose fields are texts, checked by `schema`. */
export type FormBody<S extends z.ZodType = z.ZodType> = { kind: "form"; schema: S; maxBytes: number };
export type DocumentBody = { kind: "document"; mediaType: string; maxBytes: number };
/** A body whose bytes are handed on as they were sent, whatever they are labelled as: a signature was made over them. */
export type BytesBody<S extends z.ZodType = z.ZodType> = {
  kind: "bytes";
  mediaType: string;
  maxBytes: number;
  /** What is in it, for the OpenAPI document. */
  documented: S;
};
export type BodySpec = JsonBody | FormBody | DocumentBody | BytesBody;

/** What one status carries: a schema for each media type, or nothing. */
export type ReplySpec = {
  description: string;
  content?: Readonly<Record<string, z.ZodType>>;
  headers?: Readonly<Record<string, string>>;
};

/** A JSON reply that was parsed and serialised when it was made, so that the hot path need not do it again. */
export class PreparedJson {
  constructor(readonly text: string) {}
}

/**
 * A text reply of any length, sent as fast as the client takes it. Nothing is sent before the first chunk is there, so
 * that what fails until then is answered as a problem; what fails later cuts the connection.
 */
export class StreamedText {
  constructor(readonly chunks: AsyncGenerator<string>) {}
}

/** A request's head as it was sent. */
export type SentRequest = {
  method: string;
  /** Path and query, still percent-encoded. */
  target: string;
  headers: IncomingHttpHeaders;
  /** Names and values in turn, in their order and spelling. */
  rawHeaders: readonly string[];
};

/** What every handler is told of the request beside its parsed parts. */
export type RequestFacts = {
  /** Ours, random. */
  id: string;
  /** The client's own `X-Request-Id`, for the one who looks for it in the log and the audit. It identifies nothing. */
  clientId: string | undefined;
  /** The client's address, as far as the trusted proxies allow to know it. */
  address: string;
  /** For a route that is open to anyone and authenticates its caller itself. */
  authorization: string | undefined;
  /** The request as it was sent, for a signature over it. */
  sent: SentRequest;
  ifMatch: string | undefined;
  ifNoneMatch: string | undefined;
  /** Aborted when the client goes away before the answer. */
  signal: AbortSignal;
  /** The client takes `Content-Encoding: gzip`. */
  acceptsGzip(): boolean;
};

type AuthInput<A extends RouteAuth> = A extends "anyone"
  ? { caller?: undefined }
  : A extends "signature"
    ? { caller?: undefined; identify: Identify }
    : A extends { permission: Permission } | "device"
      ? { caller: Caller; factory: FactoryRef }
      : { caller: Caller };

/** Tells the pipe who signed the request: what it is refused from then on is written down. */
export type Identify = (caller: Caller, factory: FactoryRef) => void;

type BodyInput<B> = B extends JsonBody<infer S> | FormBody<infer S>
  ? z.output<S>
  : B extends DocumentBody | BytesBody
    ? Buffer
    : undefined;

export type RouteInput<A extends RouteAuth, P extends z.ZodType, Q extends z.ZodType, B> = AuthInput<A> & {
  params: z.output<P>;
  query: z.output<Q>;
  body: BodyInput<B>;
  request: RequestFacts;
} & PageInput<z.output<Q>>;

/** A route whose query is a `PageQuery` is a list: its handler gets the page, with the token already opened. */
type PageInput<Query> = Query extends { pageSize: number } ? { page: PageRequest } : unknown;

type ReplyBody<C> =
  C extends Readonly<Record<string, z.ZodType>>
    ? z.input<C[keyof C]> | PreparedJson | StreamedText | Buffer
    : undefined;

export type HandlerReply<R> = {
  [S in keyof R & number]: R[S] extends { content: infer C }
    ? { status: S; body: ReplyBody<C>; mediaType?: string; headers?: Record<string, string> }
    : { status: S; body?: undefined; mediaType?: undefined; headers?: Record<string, string> };
}[keyof R & number];

export type Method = "get" | "put" | "post" | "delete" | "patch";

export type RouteDeclaration<
  A extends RouteAuth,
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends BodySpec | undefined,
  R extends Readonly<Record<number, ReplySpec>>,
> = {
  /** `operationId` of the OpenAPI document, and the route's name in logs and metrics. */
  id: string;
  method: Method;
  /** As OpenAPI writes it: `/v1/factories/{factory}/secrets:batch`. A colon is a colon. */
  path: `/${string}`;
  /** `both`: the path answers with a slash at its end too. */
  trailingSlash?: "both";
  tag: Tag;
  summary: string;
  description?: string;
  /** Has no default: forgetting it must not open a door. */
  auth: A;
  params?: P;
  query?: Q;
  body?: B;
  replies: R;
  /** What it can answer beside the problems that every route of its kind can. */
  problems: readonly ProblemCode[];
  /** How problems are told whose status is among `replies`; all others, and those of other routes, are RFC 9457's. */
  errors?: ErrorShape;
  /** `Authorization` may be the token alone, without `Bearer` in front: some clients send what they are given verbatim. */
  takesBareToken?: true;
  /**
   * Takes far more of our time than of its sender's, and can be asked for again at no cost: how often one caller may is
   * limited, as for tokens.
   */
  isCostly?: true;
  /** `Cache-Control: no-store`: the reply can hold a credential. */
  holdsCredential?: true;
};

/** A route as the list of all routes knows it. */
export type Route<Deps> = RouteDeclaration<
  RouteAuth,
  z.ZodType,
  z.ZodType,
  BodySpec | undefined,
  Readonly<Record<number, ReplySpec>>
> & {
  // A property and not a method: of a method TypeScript would not check the dependencies.
  handle: (deps: Deps, input: AnyRouteInput) => Promise<AnyReply>;
};

export type AnyRouteInput = {
  caller?: Caller;
  factory?: FactoryRef;
  identify?: Identify;
  params: unknown;
  query: unknown;
  body: unknown;
  page?: PageRequest;
  request: RequestFacts;
};

export type AnyReply = { status: number; body?: unknown; mediaType?: string; headers?: Record<string, string> };

/**
 * Declares one route. Express routing, validation, types, `security` and the OpenAPI document all come from this.
 * `handle` gets the narrow dependencies that it names and the parsed request.
 */
export function route<
  const A extends RouteAuth,
  const R extends Readonly<Record<number, ReplySpec>>,
  Deps,
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends BodySpec | undefined = undefined,
>(
  declaration: RouteDeclaration<A, P, Q, B, R>,
  handle: (deps: Deps, input: RouteInput<A, P, Q, B>) => Promise<HandlerReply<NoInfer<R>>>,
): Route<Deps> {
  // Safe: mount.ts parses params, query and body by this very declaration before it calls `handle`.
  return { ...declaration, handle } as unknown as Route<Deps>;
}

/** A body in JSON. */
export function json<S extends z.ZodType>(schema: S, limits: JsonLimits = {}): JsonBody<S> {
  return { kind: "json", schema, ...limits };
}

/** A body in a form. Each field may stand once; one without a value counts as absent (RFC 6749, section 3.2). */
export function form<S extends z.ZodType>(schema: S, maxBytes: number): FormBody<S> {
  return { kind: "form", schema, maxBytes };
}
