import { describe, expect, it } from "vitest";
import { problemsOf } from "../../support/factory-config/problems-of.js";

describe("a document that is not what we read", () => {
  it.each([
    [
      "foo",
      "line 1, column 1",
      "A factory config is a mapping with container_registries, or the list of its entries; found text.",
    ],
    [
      "~",
      "line 1, column 1",
      "A factory config is a mapping with container_registries, or the list of its entries; found nothing.",
    ],
    ["container_registries: foo", "line 1, column 23", "container_registries must be a list of entries; found text."],
    [
      "container_registries:\n  type: aws",
      "line 2, column 3",
      'container_registries must be a list of entries; found a mapping. Put "- " in front of each entry.',
    ],
    [
      "a: &a []\ncontainer_registries: *a",
      "line 2, column 23",
      "container_registries must be a list of entries; found an alias.",
    ],
    [
      "container_registry: []",
      "line 1, column 1",
      'The key "container_registry" is not known, so this config has no registries; did you mean container_registries?',
    ],
    [
      "a: 1\n---\nb: 1\n",
      "line 2, column 1",
      "A second document starts here. A factory config is one document: remove the line ---.",
    ],
    [
      "%YAML 1.1\n---\na: yes\n",
      "line 1, column 1",
      "The %YAML directive asks for another version, in which words like yes and on are not text. Remove the directive.",
    ],
    [
      'a: 1\nb: 2\n"a": 3',
      "line 3, column 1",
      "This key is the same as the one at line 1, column 1: quotes do not make it another. Keep one of the two.",
    ],
    [
      '1: x\n"1": y',
      "line 2, column 1",
      "This key is the same as the one at line 1, column 1: quotes do not make it another. Keep one of the two.",
    ],
    [
      "lmp:\n  b: 1\n  b: 2",
      "line 3, column 3",
      "This key is in the same mapping at line 2, column 3 already. Keep one of the two.",
    ],
    [
      "- type: gar\n  type: aws\n  aws_creds_secret_name: x\n  region: us-east-2",
      "line 2, column 3",
      "This key is in the same mapping at line 1, column 3 already. Keep one of the two.",
    ],
    [
      "a: !foo b",
      "line 1, column 4",
      "This tag is not known or does not fit its value. Remove it; quotes make any value text.",
    ],
    [
      "a: !!binary aGk=",
      "line 1, column 4",
      "This tag is not known or does not fit its value. Remove it; quotes make any value text.",
    ],
    [
      "a: !!js/function 'x'",
      "line 1, column 4",
      "This tag is not known or does not fit its value. Remove it; quotes make any value text.",
    ],
    ["? [a]\n: b", "line 1, column 3", "A key must be plain text, without a tag, not a list, mapping or alias."],
    ["a: *b", "line 1, column 4", "This alias has no anchor before it."],
    ["a: &a\n  b: *a", "line 2, column 6", "This alias is inside what it names, so it has no end. Remove it."],
    [
      "<<: {a: 1}",
      "line 1, column 1",
      "A merge key (<<) is not part of YAML 1.2, and programs disagree on what it does. Write the keys out.",
    ],
    [
      "notify:\n  webhooks:\n  - <<: {secret_name: x}",
      "line 3, column 5",
      "A merge key (<<) is not part of YAML 1.2, and programs disagree on what it does. Write the keys out.",
    ],
    [
      "- &a {type: gar, gar_creds_secret_name: x}",
      "line 1, column 6",
      "An entry cannot have an anchor (&): it is edited in place. Remove the anchor.",
    ],
    [
      "- {type: gar, gar_creds_secret_name: !!str x}",
      "line 1, column 44",
      "An entry cannot have a tag (!). Remove it; quotes make any value text.",
    ],
    ["\ta: 1", "line 1, column 1", "A tab cannot indent. Use spaces."],
    [
      "a: 'x",
      "line 1, column 6",
      "A character is missing here: a colon with a space after it, a comma, or a closing quote, bracket or brace.",
    ],
    ["a: b\rc: d", "line 1, column 5", "A carriage return without a line feed. End the lines with LF or CRLF."],
    ["a: 1\nb: \u0000", "line 2, column 4", "The character U+0000, which YAML does not allow here. Remove it."],
    ["a: x\uFEFF", "line 1, column 5", "The character U+FEFF, which YAML does not allow here. Remove it."],
    ["\uFEFFa: \u001b", "line 1, column 4", "The character U+001B, which YAML does not allow here. Remove it."],
    ["a: 😀\ud800", "line 1, column 5", "Half of a character (U+D800), which UTF-8 cannot hold."],
  ])("%j", (text, at, reason) => {
    expect(problemsOf(text)).toEqual([[at, reason]]);
  });

  it("refuses an alias among the entries, and the merge key it is for", () => {
    const text = "base: &base {type: gar}\ncontainer_registries:\n- <<: *base\n  gar_creds_secret_name: x\n";
    expect(problemsOf(text).map(([at]) => at)).toEqual(["line 3, column 3", "line 3, column 3", "line 3, column 7"]);
  });

  it("refuses bytes that are not UTF-8, and says from where", () => {
    const reason = "The document is not valid UTF-8 from here on. Save it as UTF-8.";
    expect(problemsOf(Uint8Array.of(0x61, 0x3a, 0x0a, 0xe2, 0x82, 0xac, 0xc3, 0x28))).toEqual([
      ["line 2, column 2", reason],
    ]);
    expect(problemsOf(Uint8Array.of(0x61, 0x3a, 0x20, 0xef, 0xbf))).toEqual([["line 1, column 4", reason]]);
    expect(problemsOf(Buffer.from("\uFEFFa: 1", "utf16le"))).toEqual([
      ["line 1, column 1", "The document is UTF-16. Save it as UTF-8."],
    ]);
  });

  it("takes 256 KiB and no byte more, counted in UTF-8", () => {
    const most = `#${"é".repeat(128 * 1024 - 1)}x`;
    expect(problemsOf(most)).toEqual([]);
    const reason = "The document has more than 256 KiB.";
    expect(problemsOf(`${most}x`)).toEqual([["line 1, column 1", reason]]);
    expect(problemsOf(Buffer.from(`${most}x`))).toEqual([["line 1, column 1", reason]]);
  });
});
