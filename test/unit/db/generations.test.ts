import { expect, it } from "vitest";
import { Generations } from "../../../src/db/generations.js";

const minuteMs = 60_000;

it("the poll forgets a factory that nobody asked for in ten minutes, and what was remembered of it is read anew", () => {
  let nowMs = 0;
  const generations = new Generations(() => nowMs);
  generations.observe("asked", 5n);
  generations.observe("left", 5n);
  for (; nowMs <= 11 * minuteMs; nowMs += minuteMs) {
    expect(generations.isCurrent("asked", 5n)).toBe(true);
    // Answers to the poll and announcements are no questions.
    if (generations.ids().includes("left")) generations.observe("left", 6n);
  }
  expect(generations.ids()).toEqual(["asked"]);
  expect(generations.isCurrent("left", 6n)).toBe(false);
  generations.observe("left", 6n);
  expect(generations.isCurrent("left", 6n)).toBe(true);
  expect(generations.isCurrent("left", 5n)).toBe(false);
});

it("what was never read is not current", () => {
  expect(new Generations().isCurrent("unknown", 0n)).toBe(false);
});
