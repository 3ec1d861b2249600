import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable, Transform } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type express from "express";
import { Problem } from "../core/problem.js";
import type { BodySpec, JsonBody } from "./route.js";
import { validate } from "./validate.js";

/** The largest JSON body, unless its route says otherwise. */
export const maxJsonBytes = 256 * 1024;

/** From here on each step of reading JSON can take a millisecond, and others have a turn between two. */
const largeBytes = 16 * 1024;

/** The most values in a JSON body, unless its route says less: a hundred grants of a hundred repositories, twice. */
const maxJsonValues = 20_000;

export type BodyReader = (req: express.Request, res: express.Response) => Promise<unknown>;

/** Makes the reader of one route's body. It runs after the caller was authorised: strangers cannot make us read. */
export function bodyReader(spec: BodySpec | undefined): BodyReader {
  if (spec === undefined) return async () => undefined;
  const maxBytes = spec.maxBytes ?? maxJsonBytes;
  return async (req, res) => {
    checkMediaType(spec, req.headers["content-type"]);
    // A signature is over the bytes as they were sent.
    const bytes = await readBytes(req, res, { maxBytes, mayUnpack: spec.kind !== "bytes" });
    return parseBody(bytes, spec);
  };
}

async function parseBody(bytes: Buffer, spec: BodySpec): Promise<unknown> {
  switch (spec.kind) {
    case "json":
      return parseJson(bytes, spec);
    case "form":
      return validate(spec.schema, parseForm(bytes), "");
    case "document":
    case "bytes":
      return bytes;
    default:
      return spec satisfies never;
  }
}

// The media types that curl and browsers send when no one chose one, and that no JSON client sends by itself.
function checkMediaType(spec: BodySpec, header: string | undefined): void {
  const given = header?.split(";", 1)[0]?.trim().toLowerCase();
  if (given === undefined) return;
  if (fits(spec, given)) return;
  const wanted = mediaTypeOf(spec);
  const advice =
    spec.kind === "form" ? "send fields with -d name=value, and no Content-Type" : `add: -H 'Content-Type: ${wanted}'`;
  throw new Problem("unsupported-media-type", `This takes ${wanted}. With curl, ${advice}`);
}

function fits({ kind }: BodySpec, given: string): boolean {
  switch (kind) {
    case "json":
      return given === "application/json" || given.endsWith("+json");
    case "form":
      return given === "application/x-www-form-urlencoded";
    case "document":
      return /^(application\/(x-)?yaml|text\/(x-)?yaml|text\/plain|application\/octet-stream)$/.test(given);
    case "bytes":
      return true;
    default:
      return kind satisfies never;
  }
}

/** How the body of a route is to be labelled. */
export function mediaTypeOf(spec: BodySpec): string {
  switch (spec.kind) {
    case "json":
      return "application/json";
    case "form":
      return "application/x-www-form-urlencoded";
    case "document":
    case "bytes":
      return spec.mediaType;
    default:
      return spec satisfies never;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

async function parseJson(bytes: Buffer, spec: JsonBody): Promise<unknown> {
  const isLarge = bytes.length > largeBytes;
  const maxValues = spec.maxValues ?? maxJsonValues;
  if (hasMoreValues(bytes, maxValues)) {
    throw new Problem("invalid-request", `The body has more than ${maxValues} values, the most that is taken here.`);
  }
  if (isLarge) await nextTurn();
  const text = orMalformed(() => (bytes.length === 0 ? "{}" : utf8.decode(bytes)));
  if (isLarge) await nextTurn();
  const value = orMalformed((): unknown => JSON.parse(text));
  if (isLarge) await nextTurn();
  // The one name that a copy of an object silently loses: what the client sent under it would be gone.
  if (typeof value === "object" && value !== null && Object.hasOwn(value, "__proto__")) {
    const invalid = [{ at: "/__proto__", reason: "no member can have this name" }];
    throw new Problem("invalid-request", "/__proto__: no member can have this name", { invalid });
  }
  const valid = validate(spec.schema, value, "");
  // What the handler does with it begins in a turn of its own.
  if (isLarge) await nextTurn();
  return valid;
}

// The parser's own message quotes its input, so it goes nowhere.
function orMalformed<T>(parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Problem("malformed-body", "The body is not JSON in UTF-8.");
  }
}

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const openBrace = 0x7b;

/**
 * Whether there are more values in JSON than this, told by the marks outside its strings. Asked before parsing, since
 * parsing and checking a million empty members would keep everybody else waiting for seconds.
 */
function hasMoreValues(bytes: Buffer, max: number): boolean {
  let values = 1;
  let inString = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === quote) inString = !inString;
    else if (inString) at += byte === backslash ? 1 : 0;
    else if (byte === comma || byte === openBrace || byte === openBracket) {
      values += 1;
      if (values > max) return true;
    }
  }
  return false;
}

const unpackers: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * Reads a request's body. One that says by its header that it is too large is refused before a byte of it is read, and
 * a client that waits for `100 Continue` gets it only here.
 * @param limits.maxBytes - of the body, as it was sent and unpacked
 * @throws Problem `body-too-large`, `unsupported-media-type` for an encoding that is not taken, `malformed-body` when it
 *   breaks off or does not unpack
 */
export async function readBytes(
  request: IncomingMessage,
  response: ServerResponse,
  { maxBytes, mayUnpack }: { maxBytes: number; mayUnpack: boolean },
): Promise<Buffer> {
  const encoding = (request.headers["content-encoding"] ?? "identity").toLowerCase();
  const unpack = encoding === "identity" ? undefined : unpackers[encoding];
  if (encoding !== "identity" && (unpack === undefined || !mayUnpack)) throw unknownEncoding();
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (request.headers.expect !== undefined && request.httpVersion !== "1.0") response.writeContinue();
  if (!unpack) return collect(request, request, maxBytes);
  const unpacker = unpack();
  try {
    return await collect(request, request.pipe(unpacker), maxBytes);
  } finally {
    request.unpipe(unpacker);
    unpacker.destroy();
  }
}

function collect(request: IncomingMessage, source: Readable, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (settle: () => void): void => {
      source.off("data", take).off("end", end).off("error", fail);
      request.off("close", breakOff);
      // What comes after a refusal stays unread. It must not end the process by an error that no one hears.
      source.on("error", () => undefined);
      settle();
    };
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (size <= maxBytes) return;
      source.pause();
      finish(() => reject(tooLarge(maxBytes)));
    };
    const end = (): void => finish(() => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    const fail = (error: unknown): void => finish(() => reject(brokenOff(error)));
    const breakOff = (): void => {
      if (!request.complete) fail(undefined);
    };
    source.on("data", take).once("end", end).on("error", fail);
    request.once("close", breakOff);
  });
}

const tooLarge = (maxBytes: number): Problem =>
  new Problem("body-too-large", `The body is larger than ${maxBytes} bytes, the most that is taken here.`);

const brokenOff = (cause: unknown): Problem =>
  new Problem("malformed-body", "The body did not arrive whole. Send it again.", { cause });

const unknownEncoding = (): Problem =>
  new Problem("unsupported-media-type", "Send the body as it is, or with Content-Encoding gzip, deflate or br.");

/** No form that is taken has more fields; each costs a look at all before it. */
const maxFields = 50;

/**
 * Reads a form as `application/x-www-form-urlencoded` is written (https://url.spec.whatwg.org/#urlencoded-parsing), but
 * strictly: percent signs that decode to nothing, bytes that are not UTF-8 and a field that appears twice are refused,
 * where a lenient reader and another one behind it could see two different requests (RFC 6749, section 3.2).
 * @returns the fields that have a value
 * @throws Problem `malformed-body` or `invalid-request`; neither quotes a value
 */
export function parseForm(bytes: Buffer): Record<string, string> {
  const parts = bytes
    .toString("latin1")
    .split("&")
    .filter((part) => part !== "");
  if (parts.length > maxFields) throw new Problem("invalid-request", `The form has more than ${maxFields} fields.`);
  const fields = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = decodeFormText(equals === -1 ? part : part.slice(0, equals));
    const value = decodeFormText(equals === -1 ? "" : part.slice(equals + 1));
    if (name === undefined || value === undefined) throw malformed();
    if (fields.has(name)) throw new Problem("invalid-request", "The form has a field twice.");
    fields.set(name, value);
  }
  return Object.fromEntries([...fields].filter(([, value]) => value !== ""));
}

const malformed = (): Problem =>
  new Problem(
    "malformed-body",
    "The body is not a form: a blank, or another character that must be percent-encoded in UTF-8, is not. With curl: --data-urlencode name=value",
  );

/** @returns the text that was form-encoded, or `undefined` when it was not */
export function decodeFormText(text: string): string | undefined {
  // A byte outside of ASCII should have been encoded, and is read as nothing else here.
  if (/[^\x21-\x7e]/.test(text)) return undefined;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

/** Enough for a client that sends a body a little too large before it looks whether there is an answer. */
const maxDrainedBytes = 2 * 1024 * 1024;
const maxDrainMs = 500;

/** Whether some of this request's body has not arrived. A small one has usually come with the headers. */
export function isUnread({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/**
 * Reads and drops what a client still sends, for half a second and 2 MiB at most: a connection that closes with unread bytes
 * takes the answer with it, and without a bound a refused client could keep us reading for hours. Never rejects.
 */
export function drain(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    const stop = (): void => {
      clearTimeout(timer);
      request.off("data", count).off("end", stop).off("close", stop);
      request.pause();
      resolve();
    };
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > maxDrainedBytes) stop();
    };
    const timer = setTimeout(stop, maxDrainMs);
    if (request.destroyed || request.readableEnded) return stop();
    // One that breaks off has nothing more to be read.
    request.on("error", () => undefined);
    request.on("data", count).once("end", stop).once("close", stop);
  });
}
