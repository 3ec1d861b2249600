import express from "express";
import type { z } from "zod";
import { Problem } from "./problem.js";
import type { BodySpec } from "./route.js";
import { validate } from "./validate.js";

/** The largest JSON body, unless a route says less. */
export const maxJsonBytes = 8 * 1024 * 1024;

type Middleware = ReturnType<typeof express.raw>;
export type BodyReader = (req: express.Request, res: express.Response) => Promise<unknown>;

/** Makes the reader of one route's body. It runs after the caller was authorised: strangers cannot make us read. */
export function bodyReader(spec: BodySpec | undefined): BodyReader {
  if (spec === undefined) return async () => undefined;
  const maxBytes = spec.maxBytes ?? maxJsonBytes;
  const raw = express.raw({ type: () => true, limit: maxBytes });
  return async (req, res) => {
    checkMediaType(spec, req.headers["content-type"]);
    const bytes = await readBytes(raw, req, res, maxBytes);
    return spec.kind === "document" ? bytes : parseJson(bytes, spec.schema);
  };
}

async function readBytes(
  raw: Middleware,
  req: express.Request,
  res: express.Response,
  maxBytes: number,
): Promise<Buffer> {
  await new Promise<void>((resolve, reject) => {
    raw(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(bodyProblem(error, maxBytes))));
  });
  const body: unknown = req.body;
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}

function bodyProblem(error: unknown, maxBytes: number): Problem {
  const type = error instanceof Error && "type" in error ? error.type : undefined;
  if (type === "entity.too.large") {
    return new Problem("body-too-large", `The body is larger than ${maxBytes} bytes, the most that is taken here.`);
  }
  if (type === "encoding.unsupported") {
    return new Problem(
      "unsupported-media-type",
      "Send the body as it is, or with Content-Encoding gzip, deflate or br.",
    );
  }
  return new Problem("malformed-body", "The body did not arrive whole. Send it again.", { cause: error });
}

// The media types that curl and browsers send when nobody chose one, and that no JSON client sends by itself.
function checkMediaType(spec: BodySpec, header: string | undefined): void {
  const given = header?.split(";", 1)[0]?.trim().toLowerCase();
  if (given === undefined) return;
  const fits =
    spec.kind === "json"
      ? given === "application/json" || given.endsWith("+json")
      : /^(application\/(x-)?yaml|text\/(x-)?yaml|text\/plain|application\/octet-stream)$/.test(given);
  if (fits) return;
  const wanted = spec.kind === "json" ? "application/json" : spec.mediaType;
  throw new Problem("unsupported-media-type", `This takes ${wanted}. With curl, add: -H 'Content-Type: ${wanted}'`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function parseJson(bytes: Buffer, schema: z.ZodType): unknown {
  let value: unknown;
  try {
    // The parser's own message quotes its input, so it goes nowhere.
    value = JSON.parse(bytes.length === 0 ? "{}" : utf8.decode(bytes));
  } catch {
    throw new Problem("malformed-body", "The body is not JSON in UTF-8.");
  }
  return validate(schema, value, "");
}
