import { isDeepStrictEqual } from "node:util";
import { flowStyleOf } from "./add-entry.js";
import type { RegistryEntry } from "./entry.js";
import { knownEntryKeys } from "./entry-keys.js";
import type { ParsedTree } from "./parse-document.js";
import { type EntryKey, keysOfEntry, renderFlow, renderFlowPair, renderLines, renderValue } from "./render-entry.js";
import { columnOf, cut, insertion, lineBreakOf, lineEnd, lineStart, nextLine, type TextEdit } from "./text-edits.js";
import type { JsonValue } from "./tree-to-json.js";
import type { YamlMapping, YamlPair } from "./yaml-tree.js";

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
