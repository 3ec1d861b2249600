import { describe, expect, it } from "vitest";
import { expectCpuSecondsBelow } from "../../support/cpu-seconds.js";
import { problemsOf } from "../../support/factory-config/problems-of.js";

describe("a document made to hurt", () => {
  it("refuses aliases of aliases that grow to a billion values", () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
    for (let n = 1; n < 10; n++)
      lines.push(
        `a${n}: &a${n} [${Array(9)
          .fill(`*a${n - 1}`)
          .join(", ")}]`,
      );
    const reason = "Its aliases make the document far larger than it is. Write the values out.";
    expect(problemsOf(lines.join("\n"))).toEqual([[expect.stringMatching(/^line \d+, column \d+$/), reason]]);
  });

  it("refuses one long text that a few aliases make many times over", () => {
    const text = `a: &a ${"x".repeat(100_000)}\nb: [${Array(50).fill("*a").join(", ")}]\n`;
    expect(problemsOf(text)).toEqual([["line 2, column 41", expect.stringMatching(/^Its aliases/)]]);
  });

  it("refuses what nests deeper by aliases than any part of it does", () => {
    const deep = (inner: string) => `${"[".repeat(40)}${inner}${"]".repeat(40)}`;
    const text = `a: &a ${deep("x")}\nb: &b ${deep("*a")}\nc: &c ${deep("*b")}\nd: ${deep("*c")}\n`;
    expect(problemsOf(text)).toHaveLength(1);
  });

  it.each([
    ["brackets", "[".repeat(39_000)],
    ["braces", "{a: ".repeat(13_000)],
    ["dashes", "- ".repeat(39_000)],
    ["question marks", "? ".repeat(39_000)],
    ["colons", ": ".repeat(39_000)],
    ["indents", Array.from({ length: 700 }, (_, depth) => `${" ".repeat(depth)}a:\n`).join("")],
  ])("refuses %s nested without end, without running out of stack", (_, text) => {
    expect(problemsOf(text)).toEqual([[expect.any(String), "Lists and mappings nest more than 64 levels deep."]]);
  });

  it("reads 64 levels", () => {
    expect(problemsOf(`a: ${"[".repeat(63)}${"]".repeat(63)}`)).toEqual([]);
  });

  it.each([
    ["the same key", "a: 1\n".repeat(40_000)],
    ["other keys", Array.from({ length: 20_000 }, (_, n) => `k${n}: 1\n`).join("")],
    ["commas", `[${",".repeat(200_000)}`],
    ["brackets that close nothing", "]".repeat(200_000)],
    ["quotes", '"'.repeat(200_000)],
    ["documents", "---\n".repeat(60_000)],
    ["anchors", "&a ".repeat(80_000)],
    ["entries on one line", `[${"{type: x},".repeat(20_000)}]`],
  ])("answers a document of nothing but %s in time, with a list that a person can read", async (_, text) => {
    // Without the guards these take minutes; the limit leaves room for a slow machine.
    await expectCpuSecondsBelow(10, () => expect(problemsOf(text).length).toBeLessThanOrEqual(100));
  });
});
