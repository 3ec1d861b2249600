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
const sizeMib = isLong ? 2_048 : 32;
const atOnce = 8;
const limitMib = 64;
/** How often it is looked at, evenly over what is received: a collection takes a while. */
const samples = 16;

let relayed: RelayedRegistry;
beforeAll(async () => {
  relayed = await startRelayedRegistry();
});
afterAll(() => relayed.close());

it(`a layer of ${sizeMib} MiB that is pulled ${atOnce} times at once adds less than ${limitMib} MiB to the process`, {
  timeout: isLong ? 1_200_000 : 120_000,
}, async () => {
  const chunk = Buffer.alloc(mib, "layer ");
  const hash = createHash("sha256");
  for (let i = 0; i < sizeMib; i += 1) hash.update(chunk);
  const digest = `sha256:${hash.digest("hex")}`;
  const path = `team/app/blobs/${digest}`;
  relayed.on(`/v2/${path}`, (_request, response) => {
    response.writeHead(200, { "content-length": sizeMib * mib });
    Readable.from(repeated(chunk, sizeMib)).pipe(response);
  });
  await pull(path, () => undefined);
  const before = heldMib();
  const all = sizeMib * mib * atOnce;
  const held: number[] = [];
  let received = 0;
  const onChunk = (bytes: number) => {
    received += bytes;
    if (received >= ((held.length + 1) * all) / samples) held.push(heldMib());
  };
  await Promise.all(Array.from({ length: atOnce }, () => pull(path, onChunk)));
  expect(received).toBe(all);
  expect(held).toHaveLength(samples);
  expect(Math.max(...held) - before).toBeLessThan(limitMib);
});

/**
 * Registry and client are in this process too, so what they hold counts. What is garbage does not: with three of them it is
 * as much as the collector pleases. `npm run bench:relay` measures a relay alone, garbage and all.
 */
function heldMib(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / mib;
}

function* repeated(chunk: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i += 1) yield chunk;
}

async function pull(path: string, onChunk: (bytes: number) => void): Promise<void> {
  for await (const chunk of await relayed.begin(path)) onChunk(chunk.length);
}
