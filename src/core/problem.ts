/** An error as it is sent. */
export type RenderedError = {
  status: number;
  /** In place of the status' own phrase: for an answer to HEAD, which has no body. Visible ASCII. */
  reason?: string | undefined;
  headers: Readonly<Record<string, string>>;
  body: string | Buffer;
};

/** How a problem is told to clients of a protocol that has errors of its own, instead of as RFC 9457 says. */
export type ErrorShape = (problem: Problem, requestId: string) => RenderedError;

/**
 * Every expected failure of the service, with the status and title it is answered with (RFC 9457).
 * The code is the stable part of the contract; sentences may be improved.
 */
export const problemCodes = {
  "invalid-request": { status: 400, title: "The request is not valid" },
  "malformed-body": { status: 400, title: "The body cannot be read" },
  "invalid-grant": { status: 400, title: "The grant is not valid" },
  "invalid-scope": { status: 400, title: "The scope is not valid" },
  "unsupported-grant-type": { status: 400, title: "Unsupported grant type" },
  "invalid-client": { status: 401, title: "No valid client" },
  unauthenticated: { status: 401, title: "No valid credential" },
  forbidden: { status: 403, title: "Not permitted" },
  "signature-refused": { status: 403, title: "The signature is not accepted" },
  "not-offered": { status: 403, title: "Not offered here" },
  "outside-grants": { status: 403, title: "Outside the grants of this credential" },
  "destination-not-approved": { status: 403, title: "The secret may not be sent there" },
  "not-found": { status: 404, title: "Not found" },
  "method-not-allowed": { status: 405, title: "Method not allowed" },
  "already-exists": { status: 409, title: "It exists already" },
  "version-unsuitable": { status: 409, title: "Not possible with this version" },
  "name-retired": { status: 409, title: "The name was used before" },
  "secret-in-use": { status: 409, title: "The secret is in use" },
  "key-in-use": { status: 409, title: "The key is in use" },
  "key-unsuitable": { status: 409, title: "Not possible with this key" },
  conflict: { status: 409, title: "Changed at the same time" },
  "last-operator-token": { status: 409, title: "The last operator token" },
  "last-admin": { status: 409, title: "The last admin" },
  "precondition-failed": { status: 412, title: "The version is not the one you named" },
  "body-too-large": { status: 413, title: "The body is too large" },
  "unsupported-media-type": { status: 415, title: "Unsupported media type" },
  "range-not-satisfiable": { status: 416, title: "There is no such part" },
  "expectation-failed": { status: 417, title: "The expectation cannot be met" },
  "invalid-config": { status: 422, title: "The factory config is not valid" },
  "limit-reached": { status: 422, title: "A limit is reached" },
  "unsafe-rule": { status: 422, title: "The rule would let strangers in" },
  "certificate-unsuitable": { status: 422, title: "The certificate cannot be used for this" },
  "secret-missing": { status: 422, title: "The secret does not exist" },
  "secret-malformed": { status: 422, title: "The secret does not hold what this registry needs" },
  "secret-unreadable": { status: 500, title: "The secret cannot be opened" },
  "scope-not-enforceable": { status: 422, title: "The registry cannot hold to these repositories" },
  "repositories-required": { status: 422, title: "Repositories must be named" },
  "registry-required": { status: 422, title: "The registry must be named" },
  "registry-unknown": { status: 422, title: "No entry for this registry" },
  "ttl-not-available": { status: 422, title: "No token lives that long" },
  "not-representable": { status: 422, title: "This format cannot carry the token" },
  "destination-refused": { status: 422, title: "The host may not be called" },
  "federation-unavailable": { status: 422, title: "Clouds cannot reach this service" },
  "nothing-to-mint": { status: 422, title: "This registry issues no tokens" },
  "tokens-unavailable": { status: 502, title: "Some registries gave no token" },
  "header-too-large": { status: 431, title: "The request's headers are too large" },
  "too-many-requests": { status: 429, title: "Too many requests" },
  "upstream-throttled": { status: 429, title: "The cloud is throttling" },
  "upstream-refused": { status: 502, title: "The cloud refused the credential" },
  "upstream-unreachable": { status: 502, title: "The cloud cannot be reached" },
  "upstream-invalid": { status: 502, title: "The cloud answered nonsense" },
  "upstream-timeout": { status: 504, title: "The cloud did not answer in time" },
  "upstream-circuit-open": { status: 503, title: "The cloud is failing; calls are paused" },
  "key-unavailable": { status: 503, title: "A key cannot be used just now" },
  unavailable: { status: 503, title: "The service cannot answer just now" },
  internal: { status: 500, title: "Something failed that should not" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problemCodes;

/** One thing that is wrong with the input. `at` is a JSON pointer, or `line L, column C` for a document. Never quotes a value. */
export type Invalid = { at: string; reason: string };

/** One registry that could not be answered for. */
export type Failure = { registry: string; code: ProblemCode; message: string };

export type ProblemExtras = {
  invalid?: readonly Invalid[];
  failures?: readonly Failure[];
  /** Whole seconds; becomes the `Retry-After` header. */
  retryAfterSeconds?: number;
  /** The methods that the path takes; becomes the `Allow` header. */
  allow?: string;
  /** What really happened: logged once, never sent. Must not hold a secret. */
  cause?: unknown;
};

/**
 * An expected failure. `detail` is public: a sentence that says what to do next and never quotes
 * a secret, a header or an upstream's body.
 */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  readonly title: string;
  readonly invalid: readonly Invalid[] | undefined;
  readonly failures: readonly Failure[] | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly allow: string | undefined;

  constructor(
    readonly code: ProblemCode,
    readonly detail: string,
    extras: ProblemExtras = {},
  ) {
    super(detail, "cause" in extras ? { cause: extras.cause } : {});
    this.status = problemCodes[code].status;
    this.title = problemCodes[code].title;
    this.invalid = extras.invalid;
    this.failures = extras.failures;
    this.retryAfterSeconds = extras.retryAfterSeconds;
    this.allow = extras.allow;
  }
}
