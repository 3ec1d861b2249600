import { afterEach, expect, it } from "vitest";
import { Problem } from "../../../src/core/problem.js";
import type { DocumentFailure } from "../../../src/observability/metrics.js";
import { DocumentWorker } from "../../../src/service/documents/document-worker.js";

let worker: DocumentWorker | undefined;
afterEach(() => worker?.close());

/** A worker with these limits, and what it told of. */
function start(limits: { taskMs?: number; heapMb?: number }): { worker: DocumentWorker; failures: DocumentFailure[] } {
  const failures: DocumentFailure[] = [];
  const started = new DocumentWorker((failure) => failures.push(failure), limits);
  worker = started;
  return { worker: started, failures };
}

const small = Buffer.from("container_registries: []\n");
/** Some 60 MB while it is read. */
const large = Buffer.from(
  `container_registries:\n${Array.from({ length: 2_000 }, (_, at) => `- type: generic\n  url: h${at}.example.com\n  generic_secret_name: s${at}\n`).join("")}`,
);

it("fails the document alone that takes too much memory: the next is read by a new thread", async () => {
  const { worker, failures } = start({ heapMb: 16 });
  const hostile = worker.read("a", large);
  const waiting = worker.read("b", small);
  await expect(hostile).rejects.toThrow(
    new Problem("invalid-config", "Reading this factory config took too much memory. Make it smaller or simpler."),
  );
  await expect(hostile).rejects.toMatchObject({ code: "invalid-config" });
  expect(await waiting).toMatchObject({ ok: true });
  expect(await worker.read("a", small)).toMatchObject({ ok: true });
  expect(failures).toEqual(["out-of-memory"]);
});

it("fails the document alone that takes too much time", async () => {
  const { worker, failures } = start({ taskMs: 1 });
  await expect(worker.read("a", large)).rejects.toMatchObject({
    code: "invalid-config",
    message: expect.stringContaining("took too much time"),
  });
  await expect(worker.readRevocationList("a", Buffer.alloc(100_000, 0x30), [])).rejects.toMatchObject({
    code: "certificate-unsuitable",
  });
  expect(failures).toEqual(["too-slow", "too-slow"]);
});

it("reads what the limits allow in the memory that a thread has", async () => {
  const { worker, failures } = start({ heapMb: 128 });
  expect(await worker.read("a", large)).toMatchObject({ ok: true });
  expect(failures).toEqual([]);
});
