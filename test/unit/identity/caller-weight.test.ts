import { expect, it } from "vitest";
import type { Caller } from "../../../src/core/caller.js";
import { callerWeight } from "../../../src/identity/callers.js";

const caller: Caller = {
  kind: "job",
  id: "3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d",
  name: "job",
  permissions: new Set(["registry-tokens:issue"]),
  generation: 1n,
};
const withGrants = (lines: number, repositories: number): Caller => ({
  ...caller,
  grants: Array.from({ length: lines }, (_, line) => ({
    registry: `r${line}.example.com`,
    repositories: Array.from({ length: repositories }, (_value, at) => `team${line}/repository-${at}`),
    actions: ["pull" as const],
  })),
});

it("twenty thousand callers without grants fit in 32 MiB", () => {
  expect(20_000 * callerWeight(caller)).toBeLessThan(32 * 1024 * 1024);
});

it("a caller weighs no less than the memory that its grants take", () => {
  const before = process.memoryUsage().heapUsed;
  const callers = Array.from({ length: 40 }, () => withGrants(100, 90));
  const taken = (process.memoryUsage().heapUsed - before) / callers.length;
  expect(callerWeight(withGrants(100, 90))).toBeGreaterThan(0.75 * taken);
});

it("what is kept beside a caller weighs too", () => {
  expect(callerWeight(caller, { claims: "x".repeat(1_000) })).toBeGreaterThan(callerWeight(caller) + 4_000);
});
