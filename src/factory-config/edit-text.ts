import { isDeepStrictEqual } from "node:util";
import { registriesKey } from "./document-text.js";
import { knownEntryKeys, type RegistryEntry } from "./entry.js";
import type { ParsedTree } from "./parse-document.js";
import {
  type EntryKey,
  type FlowStyle,
  keysOfEntry,
  renderFlow,
  renderFlowPair,
  renderLines,
  renderValue,
} from "./render-entry.js";
import type { JsonValue } from "./tree-to-json.js";
import type { YamlMapping, YamlPair, YamlSequence } from "./yaml-tree.js";

/**
 * The ways to add an entry to a document, the best first. Each inserts and takes nothing away but the `[]` or `null`
 * that stands for an empty list. Which of them reads back as intended is for the caller to find out.
 */
export function additionsOf(parsed: ParsedTree, entry: RegistryEntry): TextEdit[][] {
  const { tree, registries } = parsed;
  const { text } = tree;
  const { sequence } = registries;
  if (sequence !== undefined) {
    const pair = registries.shape === "mapping" ? registries.pair : undefined;
    if (sequence.items.length > 0) return besideOthers(text, sequence, entry);
    return intoEmptyList(text, sequence, pair, entry);
  }
  if (registries.root === undefined) return [atDocumentEnd(text, tree.documentEnd, 0, entry)];
  if (registries.pair !== undefined) return intoEmptyKey(text, registries.root, registries.pair, entry);
  return asNewKey(text, tree.documentEnd, registries.root, entry);
}

/** How entries between brackets are written in this document. */
export function flowStyleOf(text: string, sibling: YamlMapping | undefined): FlowStyle {
  const padded = sibling === undefined || /\s/.test(text[sibling.start + 1] ?? "");
  return { json: isJson(text), padded };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function besideOthers(text: string, sequence: YamlSequence, entry: RegistryEntry): TextEdit[][] {
  const first = sequence.items[0];
  const last = sequence.items.at(-1);
  if (first === undefined || last === undefined) return [];
  const sibling = last.node.kind === "mapping" ? last.node : undefined;
  const flow = renderFlow(keysOfEntry(entry), flowStyleOf(text, sibling));
  if (sequence.flow) {
    const indent = text.slice(lineStart(text, last.node.start), last.node.start);
    const isOnOwnLine = isFirstInLine(text, last.node.start) && sequence.items.length > 1;
    return [[insertion(last.node.end, isOnOwnLine ? `,${lineBreakOf(text)}${indent}${flow}` : `, ${flow}`)]];
  }
  if (first.dash === undefined || last.dash === undefined) return [];
  const column = columnOf(text, last.dash);
  const gap = lineStart(text, last.dash) === lineStart(text, last.node.start) ? last.node.start - last.dash : 2;
  const lines = sibling?.flow === true ? [`-${" ".repeat(gap - 1)}${flow}`] : itemLines(entry, gap);
  const lineBreak = lineBreakOf(text);
  const indent = " ".repeat(column);
  const after = lines.map((line) => `${lineBreak}${indent}${line}`).join("");
  const before = lines.map((line) => `${line}${lineBreak}${indent}`).join("");
  return [[insertion(endOfOwnComments(text, last.node.end, column), after)], [insertion(first.dash, before)]];
}

/** The lines of a block item: `- key: value`, then the other keys below the first. */
function itemLines(entry: RegistryEntry, gap: number): string[] {
  return renderLines(keysOfEntry(entry)).map((line, index) =>
    index === 0 ? `-${" ".repeat(gap - 1)}${line}` : `${" ".repeat(gap)}${line}`,
  );
}

/** `[]`: the entry takes its place as a block; between the brackets where there is no room for one. */
function intoEmptyList(
  text: string,
  sequence: YamlSequence,
  pair: YamlPair | undefined,
  entry: RegistryEntry,
): TextEdit[][] {
  const flow = renderFlow(keysOfEntry(entry), flowStyleOf(text, undefined));
  const between = [insertion(sequence.start + 1, flow)];
  const isBare = /^\[\s*\]$/.test(text.slice(sequence.start, sequence.end));
  if (!isBare || !isLastInLine(text, sequence.end)) return [between];
  const indent = " ".repeat(pair === undefined ? 0 : columnOf(text, pair.start));
  const lines = itemLines(entry, 2).map((line) => indent + line);
  const lineBreak = lineBreakOf(text);
  if (isFirstInLine(text, sequence.start)) {
    const block = { start: lineStart(text, sequence.start), end: sequence.end, insert: lines.join(lineBreak) };
    return isJson(text) ? [between] : [[block], between];
  }
  if (pair?.afterColon === undefined) return [between];
  const below = lines.map((line) => lineBreak + line).join("");
  return [[cut(pair.afterColon, sequence.end), insertion(lineEnd(text, sequence.end), below)], between];
}

/** `container_registries:` with no value, or with `null`. */
function intoEmptyKey(text: string, root: YamlMapping, pair: YamlPair, entry: RegistryEntry): TextEdit[][] {
  const flow = renderFlow(keysOfEntry(entry), flowStyleOf(text, undefined));
  const from = pair.afterColon ?? pair.keyEnd;
  const list = { start: from, end: pair.end, insert: `${pair.afterColon === undefined ? ":" : ""} [${flow}]` };
  if (root.flow || !isLastInLine(text, pair.end)) return [[list]];
  const column = columnOf(text, pair.start);
  const lines = itemLines(entry, 2).map((line) => lineBreakOf(text) + " ".repeat(column) + line);
  const below = insertion(endOfOwnComments(text, pair.end, column), lines.join(""));
  return [[cut(from, pair.end), below], [list]];
}

function asNewKey(text: string, documentEnd: number, root: YamlMapping, entry: RegistryEntry): TextEdit[][] {
  if (root.flow) {
    const style = flowStyleOf(text, root.pairs.length > 0 ? root : undefined);
    const pair = `${renderValue(registriesKey, style.json)}: [${renderFlow(keysOfEntry(entry), style)}]`;
    const last = root.pairs.at(-1);
    return [[last === undefined ? insertion(root.start + 1, pair) : insertion(last.end, `, ${pair}`)]];
  }
  const column = columnOf(text, root.start);
  const lineBreak = lineBreakOf(text);
  const before = [`${registriesKey}:`, ...itemLines(entry, 2)].map((line) => line + lineBreak + " ".repeat(column));
  return [atDocumentEnd(text, documentEnd, column, entry), [insertion(root.start, before.join(""))]];
}

function atDocumentEnd(text: string, documentEnd: number, column: number, entry: RegistryEntry): TextEdit[] {
  const lineBreak = lineBreakOf(text);
  const lines = [`${registriesKey}:`, ...itemLines(entry, 2)].map((line) => " ".repeat(column) + line);
  if (columnOf(text, documentEnd) === 0)
    return [insertion(documentEnd, lines.map((line) => line + lineBreak).join(""))];
  // A document whose last line has no line end is left without one.
  return [insertion(lineEnd(text, documentEnd), lines.map((line) => lineBreak + line).join(""))];
}

/**
 * The ways to write `entry` in the place of entry `index`, the best first: key by key, which keeps the comments, the
 * order and the keys we do not know; then the whole mapping anew, which keeps those keys but not their comments.
 * `written` is the entry as the document has it, in JSON.
 */
export function replacementsOf(
  parsed: ParsedTree,
  index: number,
  entry: RegistryEntry,
  written: JsonValue | undefined,
): TextEdit[][] {
  const node = parsed.registries.sequence?.items[index]?.node;
  const old = parsed.config.entries[index]?.entry;
  if (node?.kind !== "mapping" || old === undefined) return [];
  const byKey = editKeys(parsed.tree.text, node, keysOfEntry(old), keysOfEntry(entry));
  const anew = writeAnew(parsed.tree.text, node, keysOfEntry(entry), written);
  return byKey === undefined ? [anew] : [byKey, anew];
}

/** `undefined` where keys must go from between braces: their commas are not worth the care. */
function editKeys(
  text: string,
  node: YamlMapping,
  before: readonly EntryKey[],
  wanted: readonly EntryKey[],
): TextEdit[] | undefined {
  const isKept = (pair: YamlPair) => !knownEntryKeys.includes(pair.key) || find(wanted, pair.key) !== undefined;
  const kept = node.pairs.filter(isKept);
  const gone = node.pairs.filter((pair) => !isKept(pair));
  if (node.flow && gone.length > 0) return undefined;
  const changed = kept.flatMap((pair) => {
    const key = find(wanted, pair.key);
    if (key === undefined || isDeepStrictEqual(key.value, find(before, pair.key)?.value)) return [];
    return [editValue(text, pair, renderValue(key.value, node.flow && flowStyleOf(text, node).json))];
  });
  const added = wanted.filter(({ key, implied }) => !implied && !node.pairs.some((pair) => pair.key === key));
  const place = kept.findLast((pair) => knownEntryKeys.includes(pair.key));
  if (place === undefined) return undefined;
  return [...changed, ...cutPairs(text, node, gone), insertKeys(text, node, place, added)];
}

function find(keys: readonly EntryKey[], name: string): EntryKey | undefined {
  return keys.find(({ key }) => key === name);
}

function editValue(text: string, pair: YamlPair, rendered: string): TextEdit {
  const { value, afterColon = value.start } = pair;
  const isBesideKey = !text.slice(afterColon, value.start).includes("\n");
  if (isBesideKey && value.end > value.start) return { start: value.start, end: value.end, insert: rendered };
  return { start: afterColon, end: Math.max(afterColon, value.end), insert: ` ${rendered}` };
}

function insertKeys(text: string, node: YamlMapping, after: YamlPair, keys: readonly EntryKey[]): TextEdit {
  if (node.flow) {
    const { json } = flowStyleOf(text, node);
    return insertion(after.end, keys.map((key) => `, ${renderFlowPair(key, json)}`).join(""));
  }
  const indent = lineBreakOf(text) + " ".repeat(columnOf(text, node.start));
  return insertion(
    lineEnd(text, after.end),
    renderLines(keys)
      .map((line) => indent + line)
      .join(""),
  );
}

/** Takes whole lines out of a block mapping; its first key shares its line with the dash, which stays. */
function cutPairs(text: string, node: YamlMapping, gone: readonly YamlPair[]): TextEdit[] {
  const firstKept = node.pairs.findIndex((pair) => !gone.includes(pair));
  const leading = firstKept > 0 ? [cut(node.start, node.pairs[firstKept]?.start ?? node.start)] : [];
  const others = gone.filter((pair) => node.pairs.indexOf(pair) > firstKept);
  return [...leading, ...others.map((pair) => cut(lineStart(text, pair.start), nextLine(text, pair.end)))];
}

function writeAnew(
  text: string,
  node: YamlMapping,
  wanted: readonly EntryKey[],
  written: JsonValue | undefined,
): TextEdit[] {
  const isMapping = typeof written === "object" && written !== null && !Array.isArray(written);
  const unknown = Object.entries(isMapping ? written : {}).filter(([key]) => !knownEntryKeys.includes(key));
  const keys = [...wanted, ...unknown.map(([key, value]): EntryKey => ({ key, value }))];
  const indent = lineBreakOf(text) + " ".repeat(columnOf(text, node.start));
  const insert = node.flow ? renderFlow(keys, flowStyleOf(text, node)) : renderLines(keys).join(indent);
  return [{ start: node.start, end: node.end, insert }];
}

/**
 * The ways to take entry `index` out of a document, the best first: its lines with the comments in them, or what is
 * between two commas. The last entry leaves `[]` behind, which every reader knows to be an empty list.
 */
export function removalsOf(parsed: ParsedTree, index: number): TextEdit[][] {
  const { registries, tree } = parsed;
  const { sequence } = registries;
  if (sequence === undefined) return [];
  if (sequence.flow) return [cutFlowItem(tree.text, sequence, index)];
  const keyColumn =
    registries.shape === "mapping" && registries.pair !== undefined ? columnOf(tree.text, registries.pair.start) : -2;
  return [cutBlockItem(tree.text, sequence, index, keyColumn)];
}

function cutBlockItem(text: string, sequence: YamlSequence, index: number, keyColumn: number): TextEdit[] {
  const item = sequence.items[index];
  if (item?.dash === undefined) return [];
  const end = lineEnd(text, item.node.end);
  if (sequence.items.length === 1) {
    // A flow list must be indented by more than its key; the dash need not have been.
    const indent = " ".repeat(Math.max(0, keyColumn + 2 - columnOf(text, item.dash)));
    return [{ start: item.dash, end, insert: `${isFirstInLine(text, item.dash) ? indent : ""}[]` }];
  }
  const next = nextLine(text, end);
  if (isFirstInLine(text, item.dash)) return [cut(lineStart(text, item.dash), next)];
  const [indent = ""] = /^ */.exec(text.slice(next)) ?? [];
  return [cut(item.dash, next + indent.length)];
}

function cutFlowItem(text: string, sequence: YamlSequence, index: number): TextEdit[] {
  const node = sequence.items[index]?.node;
  if (node === undefined) return [];
  const comma = commaAfter(text, node.end);
  if (comma !== undefined) return [cutWithLine(text, node.start, comma + 1)];
  const before = sequence.items[index - 1]?.node;
  const commaBefore = before === undefined ? undefined : commaAfter(text, before.end);
  if (commaBefore === undefined) return [cut(node.start, node.end)];
  if (/^\s*$/.test(text.slice(commaBefore + 1, node.start))) return [cut(commaBefore, node.end)];
  return [cut(commaBefore, commaBefore + 1), cutWithLine(text, node.start, node.end)];
}

/** Cuts the whole lines when nothing else is on them, else up to the next item. */
function cutWithLine(text: string, start: number, end: number): TextEdit {
  if (isFirstInLine(text, start) && isLastInLine(text, end)) return cut(lineStart(text, start), nextLine(text, end));
  const [blank = ""] = /^ */.exec(text.slice(end)) ?? [];
  return cut(start, end + blank.length);
}

/** Replaces the characters from `start` to `end` (not included) by `insert`. Offsets are those of the text before any edit. */
export type TextEdit = { start: number; end: number; insert: string };

/** Applies edits that do not overlap. Every character outside them stays as it is. */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  const inOrder = edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  let result = "";
  let at = 0;
  for (const { start, end, insert } of inOrder) {
    if (start < at) throw new RangeError("Two edits of one document overlap");
    result += text.slice(at, start) + insert;
    at = end;
  }
  return result + text.slice(at);
}

export function insertion(at: number, insert: string): TextEdit {
  return { start: at, end: at, insert };
}

export function cut(start: number, end: number): TextEdit {
  return { start, end, insert: "" };
}

/** Where the line of `offset` begins. */
export function lineStart(text: string, offset: number): number {
  return offset === 0 ? 0 : text.lastIndexOf("\n", offset - 1) + 1;
}

/** Where the line of `offset` ends, before its CR and LF. */
export function lineEnd(text: string, offset: number): number {
  const feed = text.indexOf("\n", offset);
  if (feed === -1) return text.length;
  return feed > offset && text[feed - 1] === "\r" ? feed - 1 : feed;
}

/** Where the next line begins; the end of the text after the last one. */
export function nextLine(text: string, offset: number): number {
  const feed = text.indexOf("\n", offset);
  return feed === -1 ? text.length : feed + 1;
}

/** How many characters stand before `offset` in its line. */
export function columnOf(text: string, offset: number): number {
  return offset - lineStart(text, offset);
}

/** Says whether nothing but spaces precedes `offset` in its line. */
export function isFirstInLine(text: string, offset: number): boolean {
  return /^ *$/.test(text.slice(lineStart(text, offset), offset));
}

/** Says whether nothing but blanks and a comment follows `offset` in its line. */
export function isLastInLine(text: string, offset: number): boolean {
  return /^[ \t]*(?:[ \t]#.*)?$/.test(text.slice(offset, lineEnd(text, offset)));
}

/** The document's own line end: that of its first line. */
export function lineBreakOf(text: string): "\r\n" | "\n" {
  return /^[^\n]*\r\n/.test(text) ? "\r\n" : "\n";
}

/** Where the comment lines end that follow the line of `offset` directly and are indented by more than `column`. */
export function endOfOwnComments(text: string, offset: number, column: number): number {
  let end = lineEnd(text, offset);
  for (;;) {
    const start = nextLine(text, end);
    const [indent = ""] = /^ *(?=#)/.exec(text.slice(start, lineEnd(text, start))) ?? [];
    if (indent.length <= column) return end;
    end = lineEnd(text, start);
  }
}

/** Where the comma stands that comes next after `offset`, past blanks, line ends and comments. */
export function commaAfter(text: string, offset: number): number | undefined {
  const [blank = ""] = /^(?:\s+(?:#.*)?)*/.exec(text.slice(offset)) ?? [];
  return text[offset + blank.length] === "," ? offset + blank.length : undefined;
}
