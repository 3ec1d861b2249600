import type { Invalid } from "../core/problem.js";
import {
  pairOf,
  type YamlMapping,
  type YamlNode,
  type YamlPair,
  type YamlSequence,
  type YamlTree,
} from "./yaml-tree.js";

/** A factory config is written by people: far below this. Parsing time and memory are bounded by it. */
export const maxDocumentBytes = 256 * 1024;

const byteOrderMark = "\uFEFF";
const lineFeed = 0x0a;

// What YAML 1.2 calls printable (c-printable), and a carriage return only as half of CRLF: a bare one ends a line for
// some readers and not for others, and would show one document to us and another to them.
const unprintable = /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]|\r(?!\n)/u;

/** Turns an offset into the document's text (UTF-16 units) into `line L, column C`, both counted from 1. */
export type Locate = (offset: number) => string;

/** `mark` is the byte order mark the document begins with, or nothing; `text` is all that comes after it. */
export type DocumentText = { ok: true; mark: string; text: string } | { ok: false; invalid: Invalid[] };

/**
 * Decodes a document: at most 256 KiB of UTF-8 that YAML allows. `Buffer.from(mark + text)` gives the same bytes again.
 */
export function readDocumentText(source: Uint8Array | string): DocumentText {
  const bytes = typeof source === "string" ? Buffer.byteLength(source) : source.length;
  if (bytes > maxDocumentBytes) {
    return refused("line 1, column 1", `The document has more than ${maxDocumentBytes / 1024} KiB.`);
  }
  const whole = typeof source === "string" ? source : decodeUtf8(source);
  if (typeof whole !== "string") return { ok: false, invalid: [whole] };
  // The parser counts the mark as an indent of the first line, and finds the lines below less indented.
  const mark = whole.startsWith(byteOrderMark) ? byteOrderMark : "";
  const text = whole.slice(mark.length);
  const found = unprintable.exec(text);
  if (found === null) return { ok: true, mark, text };
  return refused(locator(text)(found.index), reasonOfCharacter(found[0]));
}

/**
 * Positions in `text`. Columns count characters (code points). Asking from the top downwards costs one pass over the
 * text however often it is asked.
 */
export function locator(text: string): Locate {
  const start = { offset: 0, line: 1, column: 1 };
  let at = start;
  return (offset) => {
    let { offset: next, line, column } = offset < at.offset ? start : at;
    for (; next < offset; next++) {
      const unit = text.charCodeAt(next);
      const isSecondHalf = unit >= 0xdc00 && unit <= 0xdfff;
      if (unit === lineFeed) [line, column] = [line + 1, 1];
      else if (!isSecondHalf) column += 1;
    }
    at = { offset: next, line, column };
    return `line ${line}, column ${column}`;
  };
}

function decodeUtf8(bytes: Uint8Array): string | Invalid {
  if (bytes.length >= 2 && ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))) {
    return { at: "line 1, column 1", reason: "The document is UTF-16. Save it as UTF-8." };
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { at: firstInvalidByte(bytes), reason: "The document is not valid UTF-8 from here on. Save it as UTF-8." };
  }
}

function firstInvalidByte(bytes: Uint8Array): string {
  // Decoding leniently replaces what is invalid: the first byte that does not come back is where it starts.
  const replaced = new TextEncoder().encode(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  const end = replaced.findIndex((byte, index) => byte !== bytes[index]);
  // `stream` leaves out the character that is cut in half at the end.
  const before = new TextDecoder("utf-8").decode(bytes.subarray(0, end), { stream: true });
  return locator(before)(before.length);
}

function reasonOfCharacter(character: string): string {
  if (character === "\r") return "A carriage return without a line feed. End the lines with LF or CRLF.";
  const code = character.codePointAt(0) ?? 0;
  const name = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  if (code >= 0xd800 && code <= 0xdfff) return `Half of a character (${name}), which UTF-8 cannot hold.`;
  return `The character ${name}, which YAML does not allow here. Remove it.`;
}

function refused(at: string, reason: string): DocumentText {
  return { ok: false, invalid: [{ at, reason }] };
}

export const registriesKey = "container_registries";

/**
 * Where a document keeps its registry entries. `list`: the document is the list itself, as older ones are.
 * `empty`: a list belongs there and none is there yet (no document, no key, or a key without a value).
 */
export type Registries =
  | { shape: "list"; sequence: YamlSequence }
  | { shape: "mapping"; root: YamlMapping; pair: YamlPair; sequence: YamlSequence }
  | { shape: "mapping"; root: YamlMapping; pair: YamlPair | undefined; sequence: undefined }
  | { shape: "mapping"; root: undefined; pair: undefined; sequence: undefined };

/** Finds the entries; gives the node that is in their place when it cannot hold any. */
export function locateRegistries(tree: YamlTree): { found: Registries } | { unfit: YamlNode } {
  const { root } = tree;
  if (root === undefined) return { found: { shape: "mapping", root, pair: undefined, sequence: undefined } };
  if (root.kind === "sequence") return { found: { shape: "list", sequence: root } };
  if (root.kind !== "mapping") return { unfit: root };
  const pair = pairOf(root, registriesKey);
  if (pair === undefined) return { found: { shape: "mapping", root, pair, sequence: undefined } };
  const { value } = pair;
  if (value.kind === "sequence") return { found: { shape: "mapping", root, pair, sequence: value } };
  if (value.kind === "scalar" && value.value === null)
    return { found: { shape: "mapping", root, pair, sequence: undefined } };
  return { unfit: value };
}
