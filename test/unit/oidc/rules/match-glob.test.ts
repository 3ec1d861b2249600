import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesGlob, saysSomething } from "../../../../src/identity/trust-rules/conditions.js";
import { expectCpuSecondsBelow } from "../../../support/cpu-seconds.js";

describe("a glob", () => {
  it.each([
    ["refs/tags/v*", "refs/tags/v1.2"],
    ["refs/tags/v*", "refs/tags/v"],
    ["refs/heads/*", "refs/heads/main"],
    ["refs/heads/**", "refs/heads/feature/a/b"],
    ["**/build.yml@refs/heads/main", "acme/ci/.github/workflows/build.yml@refs/heads/main"],
    ["a*b*c", "a-b-b-c"],
    ["a**c", "a/b/c"],
    ["main", "main"],
    ["a?c", "a?c"],
  ])("%s fits %s", (glob, text) => {
    expect(matchesGlob(glob, text)).toBe(true);
  });

  it.each([
    ["it begins where the text begins", "main", "xmain"],
    ["it ends where the text ends", "main", "mainx"],
    ["one star stops at a slash", "refs/heads/*", "refs/heads/a/b"],
    ["one star stops at a slash", "acme*", "acme/app"],
    ["case counts", "Main", "main"],
    ["a question mark is one", "a?c", "abc"],
    ["a dot is one", "a.c", "abc"],
    ["there is no alternation", "main|master", "main"],
    ["there is no alternation in braces", "{main,master}", "main"],
    ["there is no class", "v[0-9]", "v1"],
    ["a line end is no end", "main", "main\n"],
    ["a line end is no beginning", "main", "x\nmain"],
  ])("%s: %s does not fit %j", (_why, glob, text) => {
    expect(matchesGlob(glob, text)).toBe(false);
  });

  it("fits what an anchored regular expression of the same meaning fits", () => {
    const letters = fc
      .array(fc.constantFrom("a", "b", "/", "*", "**"), { maxLength: 7 })
      .map((parts) => parts.join(""));
    const texts = fc.array(fc.constantFrom("a", "b", "/", "\n"), { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(letters, texts, (glob, text) => {
        const pattern = glob.replace(/\*+/g, (stars) => (stars.length > 1 ? "[^]*" : "[^/]*"));
        expect(matchesGlob(glob, text)).toBe(new RegExp(`^(?:${pattern})$`).test(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it("takes no longer for many stars than for few", async () => {
    // A backtracking matcher would not end before the sun does.
    await expectCpuSecondsBelow(1, () => expect(matchesGlob(`${"*a**a".repeat(60)}b`, "a".repeat(1_000))).toBe(false));
  });

  it.each([
    ["of one letter", "a".repeat(1_000)],
    ["of one letter and slashes", "a/".repeat(500)],
    ["of slashes", "/".repeat(1_000)],
  ])("is held against a text %s in less than two milliseconds", async (_what, text) => {
    const globs = [`${"a".repeat(36)}**`.repeat(8), "a*".repeat(8), "**a*".repeat(4), "**/*/*/*/*/*/*/*x"];
    await expectCpuSecondsBelow(0.002 * 50 * globs.length, () => {
      for (let run = 0; run < 50; run += 1) for (const glob of globs) matchesGlob(glob, text);
    });
  });

  it.each(["*", "**", "***", "*/*", "**/**", "-*", ":*:"])("%s says nothing", (glob) => {
    expect(saysSomething(glob)).toBe(false);
  });
});
