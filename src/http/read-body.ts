import { setImmediate as nextTurn } from "node:timers/promises";
import type express from "express";
import { Problem } from "../core/problem.js";
import { parseForm } from "./parse-form.js";
import { readBytes } from "./read-bytes.js";
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

// The media types that curl and browsers send when nobody chose one, and that no JSON client sends by itself.
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
