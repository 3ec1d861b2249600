import type { RegistryEntry } from "./entry.js";
import { registriesKey } from "./locate-registries.js";
import type { ParsedTree } from "./parse-document.js";
import { type FlowStyle, keysOfEntry, renderFlow, renderLines, renderValue } from "./render-entry.js";
import {
  columnOf,
  cut,
  endOfOwnComments,
  insertion,
  isFirstInLine,
  isLastInLine,
  lineBreakOf,
  lineEnd,
  lineStart,
  type TextEdit,
} from "./text-edits.js";
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
