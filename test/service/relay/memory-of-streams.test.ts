import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isLong } from "../../support/rounds.js";
import { type RelayedRegistry, startRelayedRegistry } from "./relayed-registry.js";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

const mib = 1024 * 1024;
const sizeMib = isLong ? 2_048 : 64;
const atOnce = 8;
const limitMib = 64;

let relayed: RelayedRegistry;
beforeAll(async () => {
  relayed = await startRelayedRegistry();
});
afterAll(() => relayed.close());

it(`a layer of ${sizeMib} MiB that is pulled ${atOnce} times at once adds less than ${limitMib} MiB to the process`, {
  timeout: isLong ? 900_000 : 60_000,
}, async () => {
  const chunk = Buffer.alloc(mib, "layer ");
  const hash = createHash("sha256");
  for (let i = 0; i < sizeMib; i += 1) hash.update(chunk);
  const digest = `sha256:${hash.digest("hex")}`;
  relayed.on(`/v2/team/app/blobs/${digest}`, (_request, response) => {
    response.writeHead(200, { "content-length": sizeMib * mib });
    Readable.from(repeated(chunk, sizeMib))
      .on("error", () => undefined)
      .pipe(response);
  });
  await pulledBytes(`team/app/blobs/${digest}`);
  const before = heldMib();
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, heldMib());
  }, 20);
  try {
    const pulls = Array.from({ length: atOnce }, () => pulledBytes(`team/app/blobs/${digest}`));
    expect(await Promise.all(pulls)).toEqual(pulls.map(() => sizeMib * mib));
  } finally {
    clearInterval(watch);
  }
  expect(most - before).toBeLessThan(limitMib);
});

/**
 * Registry and client are in this process too, so what they hold counts. What is garbage does not: with three of them it is
 * as much as the collector pleases (`npm run bench:relay` measures a relay alone, garbage and all).
 */
function heldMib(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / mib;
}

function* repeated(chunk: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i += 1) yield chunk;
}

async function pulledBytes(path: string): Promise<number> {
  let bytes = 0;
  for await (const chunk of await relayed.begin(path)) bytes += chunk.length;
  return bytes;
}
