import type { IncomingMessage } from "node:http";

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
