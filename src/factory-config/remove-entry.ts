import type { ParsedTree } from "./parse-document.js";
import {
  columnOf,
  commaAfter,
  cut,
  isFirstInLine,
  isLastInLine,
  lineEnd,
  lineStart,
  nextLine,
  type TextEdit,
} from "./text-edits.js";
import type { YamlSequence } from "./yaml-tree.js";

/**
 * The ways to take entry `index` out of a document, the best first: its lines with the comments in them, or what stands
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

/** Cuts the whole lines when nothing else stands on them, else up to the next item. */
function cutWithLine(text: string, start: number, end: number): TextEdit {
  if (isFirstInLine(text, start) && isLastInLine(text, end)) return cut(lineStart(text, start), nextLine(text, end));
  const [blank = ""] = /^ */.exec(text.slice(end)) ?? [];
  return cut(start, end + blank.length);
}
