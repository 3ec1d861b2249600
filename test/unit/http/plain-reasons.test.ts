import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Problem } from "../../../src/core/problem.js";
import { validate } from "../../../src/http/validate.js";

const Order = z.strictObject({
  name: z.string().min(1).max(5),
  color: z.enum(["red", "blue"]),
  fixed: z.literal("yes").optional(),
  count: z.int().min(1).max(9),
  isGift: z.boolean().optional(),
  lines: z.array(z.string()).min(1).max(2),
  id: z.uuid().optional(),
  at: z.iso.datetime().optional(),
  shape: z.string().regex(/^a+$/, "letters a, and nothing else").optional(),
  page: z.coerce.number().optional(),
});

const good = { name: "box", color: "red", count: 1, lines: ["x"] };

function reasonFor(change: Record<string, unknown>): string {
  try {
    validate(Order, { ...good, ...change }, "");
  } catch (error) {
    if (error instanceof Problem) return error.detail;
    throw error;
  }
  return "taken";
}

describe("what is said of input that is not valid", () => {
  it.each([
    [{ name: undefined }, "/name: missing: it must be a text"],
    [{ name: 5 }, "/name: must be a text, not a number"],
    [{ name: null }, "/name: must be a text, not null"],
    [{ name: ["box"] }, "/name: must be a text, not a list"],
    [{ name: {} }, "/name: must be a text, not an object"],
    [{ name: "" }, "/name: must have at least 1 character"],
    [{ name: "longer" }, "/name: must have at most 5 characters"],
    [{ color: undefined }, "/color: missing: one of red, blue"],
    [{ color: "green" }, "/color: must be one of red, blue"],
    [{ fixed: "no" }, "/fixed: must be yes"],
    [{ count: "1" }, "/count: must be a number, not a text"],
    [{ count: 1.5 }, "/count: must be a whole number, not a fraction"],
    [{ count: 0 }, "/count: must be at least 1"],
    [{ count: 10 }, "/count: must be at most 9"],
    [{ isGift: "true" }, "/isGift: must be true or false, not a text"],
    [{ lines: "x" }, "/lines: must be a list, not a text"],
    [{ lines: [] }, "/lines: must have at least 1 entry"],
    [{ lines: ["a", "b", "c"] }, "/lines: must have at most 2 entries"],
    [{ id: "x" }, "/id: must be a UUID"],
    [{ at: "noon" }, "/at: must be a time such as 2030-01-31T12:00:00Z"],
    [{ shape: "b" }, "/shape: letters a, and nothing else"],
    [{ page: "two" }, "/page: must be a number"],
  ])("%j: %s", (change, reason) => {
    expect(reasonFor(change)).toBe(reason);
  });

  it("names the whole body when that is not an object", () => {
    expect(() => validate(Order, "text", "")).toThrow("the body: must be an object, not a text");
  });
});
