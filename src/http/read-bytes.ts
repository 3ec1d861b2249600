import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable, Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { Problem } from "../core/problem.js";

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
      // What comes after a refusal stays unread. It must not end the process by an error that nobody hears.
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
