import { expect, test } from "vitest";
import { wholeLines } from "../../src/cli/client/output.js";
import { visible, visibleInline } from "../../src/core/visible-text.js";

const action: { visible(text: string): string } = await import(
  new URL("../../action/visible.mjs", import.meta.url).href
);

/** Every character that could act on a terminal or deceive a reader, and some that could not. */
const everyCharacter = [...Array(0x11_0000).keys()].map((point) => String.fromCodePoint(point));

const samples = [
  "::warning title=x::y",
  " \u00a0\u2003::set-output name=a::b",
  "a\n::add-mask::x\n\t::error::y",
  "text ##[error]x ##vso[task.setvariable variable=a]b ##teamcity[message text='x'] ## [not one]",
  "\u001b]8;;http://x\u0007link\u001b[2J\r\u009b31m",
  "a\u202eb\u2066c\u200bd\ufeffe\u2028f\u2029g\u00adh\u{e0041}i\ud800j",
];

test.each(samples)("leaves nothing that acts in %j", (sample) => {
  const shown = visible(sample);
  expect(shown).not.toMatch(/[^\n\t\P{Cc}]|[\p{Cf}\p{Zl}\p{Zp}]/u);
  expect(shown).not.toMatch(/^\s*::/m);
  expect(shown).not.toMatch(/##[a-z]*\[/);
  expect(visible(shown)).toBe(shown);
  expect(visibleInline(sample)).not.toMatch(/[\n\t]/);
});

test("keeps JSON the same JSON", () => {
  for (const value of [...samples, { "##[x]": samples }]) {
    expect(JSON.parse(visible(JSON.stringify(value, undefined, 2)))).toEqual(value);
    expect(JSON.parse(visible(JSON.stringify(value)))).toEqual(value);
  }
});

test("leaves ordinary text as it is, in every language", () => {
  for (const text of ["a: b # c ## d", "https://[::1]:8080/x", "Zürich 東京 قاهرة 🚀", "{\n\t1\n}"])
    expect(visible(text)).toBe(text);
});

test("is the same in the action", () => {
  for (const text of [...samples, ...everyCharacter]) if (action.visible(text) !== visible(text)) expect(text).toBe("");
});

test("what comes in pieces is judged by lines, wherever it was cut", async () => {
  const text = `${samples.join("\n")}\nand an end without a line feed ##vso[x]`;
  for (let at = 1; at < text.length; at += 1) {
    async function* pieces() {
      yield text.slice(0, at);
      yield text.slice(at);
    }
    let shown = "";
    for await (const piece of wholeLines(pieces())) shown += visible(piece);
    expect(shown).toBe(visible(text));
  }
});
