import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";

/** A request that is sent from another thread, so that sending it does not hold this one. */
export type FarRequest = {
  method: string;
  url: string;
  headers: Readonly<Record<string, string>>;
  body?: string | Buffer;
};

// Plain JavaScript: a thread cannot load TypeScript.
const sender = `
  const { parentPort } = require("node:worker_threads");
  const http = require("node:http");
  parentPort.on("message", ({ method, url, headers, body }) => {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const length = bytes === undefined ? {} : { "Content-Length": String(bytes.length) };
    const request = http.request(url, { method, headers: { ...headers, ...length } }, (reply) => {
      const parts = [];
      reply.on("data", (part) => parts.push(part));
      reply.on("end", () =>
        parentPort.postMessage({ status: reply.statusCode, text: Buffer.concat(parts).toString("utf8") }));
    });
    request.on("error", (error) => parentPort.postMessage({ status: 0, text: String(error) }));
    request.end(bytes);
  });
`;

const statistics = `/proc/self/task/${process.pid}/schedstat`;

/** CPU time of the main thread alone, in milliseconds. The kernel's scheduler counts it, on Linux only. */
const cpuOfThreadMs = (): number => Number(readFileSync(statistics, "latin1").split(" ", 1)[0]) / 1e6;

/**
 * Measures the most CPU time of this thread between two looks, which are a millisecond apart when the event loop is free:
 * at most a millisecond more than one turn took. Looking in every turn would keep a processor busy. Returns the most when
 * asked to stop.
 */
export function watchTurns(): () => number {
  let most = 0;
  let before = cpuOfThreadMs();
  const look = (): void => {
    const now = cpuOfThreadMs();
    most = Math.max(most, now - before);
    before = now;
  };
  const timer = setInterval(look, 1);
  return () => {
    clearInterval(timer);
    return most;
  };
}

const histogram = monitorEventLoopDelay({ resolution: 1 });

/** Sends requests from a thread of its own and says how long the event loop of this one was held in the meantime. */
export class FarClient {
  readonly #thread = new Worker(sender, { eval: true });

  /**
   * `longestHoldMs`: the longest delay of the event loop, or the most CPU time that one of its turns took where that is
   * less. On a machine that has more to do than this test, the rest of the delay was spent by others.
   */
  async send(request: FarRequest): Promise<{ status: number; text: string; longestHoldMs: number }> {
    histogram.enable();
    // The first tick of the histogram begins its count.
    await sleep(5);
    histogram.reset();
    const stop = existsSync(statistics) ? watchTurns() : undefined;
    this.#thread.postMessage(request);
    const [reply] = await once(this.#thread, "message");
    await sleep(5);
    histogram.disable();
    const delayMs = histogram.max / 1e6;
    return { ...reply, longestHoldMs: Math.min(delayMs, stop?.() ?? delayMs) };
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}
