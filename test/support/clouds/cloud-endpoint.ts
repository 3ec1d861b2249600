import { EventEmitter, once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";

import { type RecordedRequest, recordRequest } from "./record-request.js";

/** One HTTP request as it came off the wire. `rawQuery` is undecoded and without `?`, because signatures cover it as sent. */
export type CloudRequest = {
  host: string;
  method: string;
  path: string;
  rawQuery: string;
  headers: IncomingHttpHeaders;
  body: string;
};

export type CloudReply = {
  status: number;
  headers?: Readonly<Record<string, string | string[]>>;
  body: string | Buffer;
};

/**
 * What can go wrong on purpose: `throttle` is the cloud's own way of saying so; `garbage` is not JSON or XML;
 * `empty-object` is JSON that holds nothing expected; `huge` is 1 MiB; `stall` never answers; `drop` closes the
 * connection without an answer; `half` closes it in the middle of one.
 */
export type Fault = "throttle" | "server-error" | "garbage" | "empty-object" | "huge" | "stall" | "drop" | "half";

/** What the listener has to do with a request. */
export type Outcome = { do: "reply"; reply: CloudReply } | { do: "stall" } | { do: "drop" } | { do: "half" };

/** Holds answers back. Requests are recorded, decided and answered after `release`. */
export type Hold = { release(): void };

/** One host's (or one service's) side of the wire: it answers, records, fails on demand and can be held. */
export type CloudEndpoint = {
  readonly name: string;
  /** Everything received since the start or the last `forget`, credentials removed. */
  readonly requests: readonly RecordedRequest[];
  /** How many requests of this operation were received, faults included. */
  calls(operation: string): number;
  /** The next `times` requests fail in this way; without `times`, all of them until `heal`. */
  fail(fault: Fault, times?: number): void;
  heal(): void;
  /** From now on no request is answered until `release`. */
  hold(): Hold;
  /** Resolves as soon as at least `count` requests were received. */
  received(count: number): Promise<void>;
  forget(): void;
  /** For the listener. */
  respond(request: CloudRequest): Promise<Outcome>;
};

export type EndpointBehaviour = {
  name: string;
  answer(request: CloudRequest): CloudReply | Promise<CloudReply>;
  /** How this cloud says that it is called too often. */
  throttled(request: CloudRequest): CloudReply;
  /** What a request asks for, in the cloud's own words; default `METHOD /path`. */
  operationOf?(request: CloudRequest): string;
};

const hugeBytes = 1_048_576;

export function createCloudEndpoint(behaviour: EndpointBehaviour): CloudEndpoint {
  const requests: RecordedRequest[] = [];
  const arrivals = new EventEmitter();
  let fault: { kind: Fault; left: number } | undefined;
  const gate = createGate();

  function takeFault(): Fault | undefined {
    if (fault === undefined || fault.left === 0) return undefined;
    fault.left -= 1;
    return fault.kind;
  }

  return {
    name: behaviour.name,
    requests,
    calls: (operation) => requests.filter((request) => request.operation === operation).length,
    fail: (kind, times = Number.POSITIVE_INFINITY) => {
      fault = { kind, left: times };
    },
    heal: () => {
      fault = undefined;
    },
    hold: () => gate.close(),
    received: async (count) => {
      while (requests.length < count) await once(arrivals, "request");
    },
    forget: () => {
      requests.length = 0;
    },
    respond: async (request) => {
      const operation = behaviour.operationOf?.(request) ?? `${request.method} ${request.path}`;
      requests.push(recordRequest(operation, request));
      const failure = takeFault();
      arrivals.emit("request");
      await gate.opened();
      return failure === undefined
        ? { do: "reply", reply: await behaviour.answer(request) }
        : fail(behaviour, failure, request);
    },
  };
}

/** A door that requests wait at while it is closed. */
function createGate(): { close(): Hold; opened(): Promise<void> } {
  let closed: Promise<void> | undefined;
  return {
    close: () => {
      let open: () => void = () => undefined;
      const thisTime = new Promise<void>((resolve) => {
        open = resolve;
      });
      closed = thisTime;
      return {
        release: () => {
          if (closed === thisTime) closed = undefined;
          open();
        },
      };
    },
    opened: async () => closed,
  };
}

function fail(behaviour: EndpointBehaviour, fault: Fault, request: CloudRequest): Outcome {
  switch (fault) {
    case "throttle":
      return { do: "reply", reply: behaviour.throttled(request) };
    case "server-error":
      return { do: "reply", reply: { status: 500, body: "internal failure" } };
    case "garbage":
      return { do: "reply", reply: { status: 200, body: "\u0000<<<{{ this is neither JSON nor XML" } };
    case "empty-object":
      return { do: "reply", reply: jsonReply(200, {}) };
    case "huge":
      return { do: "reply", reply: jsonReply(200, { padding: "x".repeat(hugeBytes) }) };
    case "stall":
    case "drop":
    case "half":
      return { do: fault };
    default:
      return fault satisfies never;
  }
}

export function jsonReply(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string | string[]>> = {},
): CloudReply {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
}

/** The first value of a header, or `undefined`. */
export function headerOf(request: CloudRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

export function queryOf(request: CloudRequest): URLSearchParams {
  return new URLSearchParams(request.rawQuery);
}

/** The fields of an `application/x-www-form-urlencoded` body; empty for any other content type. */
export function formOf(request: CloudRequest): URLSearchParams {
  const contentType = headerOf(request, "content-type") ?? "";
  return new URLSearchParams(contentType.startsWith("application/x-www-form-urlencoded") ? request.body : "");
}

/** User and password of a Basic `Authorization` header (RFC 7617), split at the first colon. */
export function basicOf(request: CloudRequest): { user: string; password: string } | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/]+=*)$/i.exec(headerOf(request, "authorization") ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

export function bearerOf(request: CloudRequest): string | undefined {
  return /^Bearer (\S+)$/i.exec(headerOf(request, "authorization") ?? "")?.[1];
}
