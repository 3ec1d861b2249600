import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  type Pair,
  type ParsedNode,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import type { Locate } from "./document-text.js";
import { type Finding, inDocumentOrder, maxReported } from "./findings.js";
import type { ReadYaml } from "./read-yaml.js";

/**
 * A YAML document as plain data with its place in the text. Offsets are UTF-16 units into the text; `end` is where the
 * content ends: trailing blanks, comments and line ends are not part of a node.
 */
export type YamlNode = YamlScalar | YamlMapping | YamlSequence | YamlAlias;

export type Span = { start: number; end: number };

export type YamlScalar = Span & {
  kind: "scalar";
  value: string | number | boolean | null;
  /** As written, without quotes and escapes: what a number looked like before it was read as one. */
  source: string;
};

export type YamlMapping = Span & { kind: "mapping"; flow: boolean; pairs: readonly YamlPair[] };

export type YamlPair = Span & {
  key: string;
  /** Where the key's own text ends, its closing quote included. */
  keyEnd: number;
  /** Just after the colon; `undefined` for a key without one (`? key`, or `{key}`). */
  afterColon: number | undefined;
  value: YamlNode;
};

export type YamlSequence = Span & { kind: "sequence"; flow: boolean; items: readonly YamlItem[] };

/** `dash` is the offset of a block item's indicator; `undefined` in a flow sequence. */
export type YamlItem = { node: YamlNode; dash: number | undefined };

export type YamlAlias = Span & { kind: "alias"; target: YamlNode };

/** Something that ties one part of a document to another, or changes how a part is read. */
export type Decoration = { kind: "anchor" | "alias" | "tag" | "merge"; offset: number };

export type YamlTree = {
  text: string;
  /** `undefined` for a document of nothing, or of comments only. */
  root: YamlNode | undefined;
  /** Where the document's content and comments end: the end of the text, or the `...` line. */
  documentEnd: number;
  decorations: readonly Decoration[];
};

/** The value of a key; `undefined` when the mapping has no such key. */
export function pairOf(mapping: YamlMapping, key: string): YamlPair | undefined {
  return mapping.pairs.find((pair) => pair.key === key);
}

/** The node an alias stands for, any other node itself. */
export function resolved(node: YamlNode): YamlNode {
  let at = node;
  while (at.kind === "alias") at = at.target;
  return at;
}

/** What a node is, in words that say nothing of its value. */
export function kindOf(node: YamlNode): string {
  switch (node.kind) {
    case "mapping":
      return "a mapping";
    case "sequence":
      return "a list";
    case "alias":
      return "an alias";
    case "scalar":
      return kindOfScalar(node.value);
    default:
      return node satisfies never;
  }
}

function kindOfScalar(value: YamlScalar["value"]): string {
  if (value === null) return "nothing";
  if (value === "") return "empty text";
  if (typeof value === "string") return "text";
  return typeof value === "number" ? "a number" : "true or false";
}

type Build = {
  text: string;
  locate: Locate;
  /** In document order: an alias means the latest anchor of its name. `open` while the anchored node is being read. */
  anchors: Map<string, YamlNode | "open">;
  decorations: Decoration[];
  invalid: Finding[];
};

/**
 * Turns a composed document without errors into a tree, and finds what the composer does not: keys that stand twice
 * (`1` and `"1"` are one key, in JSON as in any mapping of text) and aliases without an anchor or inside their own.
 */
export function buildTree(text: string, document: Document.Parsed, locate: Locate): ReadYaml {
  const build: Build = { text, locate, anchors: new Map(), decorations: [], invalid: [] };
  const contents = document.contents;
  const isEmpty = contents === null || isNothing(contents);
  const root = isEmpty ? undefined : buildNode(build, contents);
  if (build.invalid.length > 0) return { ok: false, invalid: inDocumentOrder(build.invalid, locate) };
  return { ok: true, tree: { text, root, documentEnd: document.range[1], decorations: build.decorations } };
}

function isNothing(node: ParsedNode): boolean {
  return isScalar(node) && node.range[0] === node.range[1] && node.anchor === undefined && node.tag === undefined;
}

function buildNode(build: Build, node: ParsedNode): YamlNode {
  const offset = node.range[0];
  if (isAlias(node)) {
    build.decorations.push({ kind: "alias", offset });
    return buildAlias(build, node.source, { start: offset, end: node.range[1] });
  }
  if (node.tag !== undefined) build.decorations.push({ kind: "tag", offset });
  if (node.anchor === undefined) return buildBare(build, node);
  build.decorations.push({ kind: "anchor", offset });
  build.anchors.set(node.anchor, "open");
  const built = buildBare(build, node);
  build.anchors.set(node.anchor, built);
  return built;
}

function buildAlias(build: Build, name: string, span: Span): YamlNode {
  const target = build.anchors.get(name);
  if (target !== undefined && target !== "open") return { ...span, kind: "alias", target };
  const reason =
    target === "open"
      ? "This alias is inside what it names, so it has no end. Remove it."
      : "This alias has no anchor before it.";
  build.invalid.push({ offset: span.start, reason });
  return nothingAt(span.start);
}

function buildBare(build: Build, node: Exclude<ParsedNode, Alias.Parsed>): YamlNode {
  if (isScalar(node)) {
    const span = { start: node.range[0], end: contentEnd(build.text, node.range[0], node.range[1]) };
    return { ...span, kind: "scalar", value: plainValue(node.value), source: node.source ?? "" };
  }
  return isMap(node) ? buildMapping(build, node) : buildSequence(build, node);
}

function plainValue(value: unknown): YamlScalar["value"] {
  const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  return isPlain ? value : null;
}

function buildMapping(build: Build, node: YAMLMap.Parsed): YamlNode {
  const firstOf = new Map<string, YamlPair>();
  const pairs: YamlPair[] = [];
  for (const item of node.items) {
    const pair = buildPair(build, item);
    if (pair === undefined) continue;
    const first = firstOf.get(pair.key);
    if (first === undefined) firstOf.set(pair.key, pair);
    else if (build.invalid.length < maxReported)
      build.invalid.push({ offset: pair.start, reason: reasonOfDuplicate(build, first, pair) });
    pairs.push(pair);
  }
  const start = node.range[0];
  const flow = build.text[start] === "{";
  return { kind: "mapping", flow, pairs, start, end: flow ? node.range[1] : (pairs.at(-1)?.end ?? start) };
}

function reasonOfDuplicate(build: Build, first: YamlPair, second: YamlPair): string {
  const where = build.locate(first.start);
  const asWritten = (pair: YamlPair) => build.text.slice(pair.start, pair.keyEnd);
  return asWritten(first) === asWritten(second)
    ? `This key is in the same mapping at ${where} already. Keep one of the two.`
    : `This key is the same as the one at ${where}: quotes do not make it another. Keep one of the two.`;
}

function buildPair(build: Build, pair: Pair<ParsedNode, ParsedNode | null>): YamlPair | undefined {
  const { key } = pair;
  // The composer has refused every other key (`stringKeys`); this tells the compiler so.
  if (!isScalar(key) || typeof key.value !== "string") return undefined;
  if (key.anchor !== undefined) {
    build.decorations.push({ kind: "anchor", offset: key.range[0] });
    build.anchors.set(key.anchor, { kind: "scalar", value: key.value, source: key.value, ...spanOf(key) });
  }
  const [start, keyEnd] = key.range;
  // PyYAML and others merge on a plain `<<` only; in quotes it is a key to everyone.
  if (build.text.slice(start, keyEnd) === "<<") build.decorations.push({ kind: "merge", offset: start });
  const colon = pair.srcToken?.sep?.find((token) => token.type === "map-value-ind");
  const afterColon = colon === undefined ? undefined : colon.offset + 1;
  const value = pair.value === null ? nothingAt(afterColon ?? keyEnd) : buildNode(build, pair.value);
  const end = value.end > value.start ? value.end : (afterColon ?? keyEnd);
  return { key: key.value, start, keyEnd, afterColon, value, end };
}

function buildSequence(build: Build, node: YAMLSeq.Parsed): YamlNode {
  const start = node.range[0];
  const flow = build.text[start] === "[";
  const dashes = (node.srcToken?.items ?? []).flatMap((item) =>
    item.start.filter((token) => token.type === "seq-item-ind").map((token) => token.offset),
  );
  const items = node.items.map((item, index): YamlItem => ({ node: buildNode(build, item), dash: dashes[index] }));
  const last = items.at(-1);
  const lastEnd = last === undefined ? start : Math.max(last.node.end, (last.dash ?? start) + 1);
  return { kind: "sequence", flow, items, start, end: flow ? node.range[1] : lastEnd };
}

function spanOf(node: { range: readonly [number, number, number] }): Span {
  return { start: node.range[0], end: node.range[1] };
}

/** A block scalar's range goes on over the blank lines after it, which are no one's to edit. */
function contentEnd(text: string, start: number, end: number): number {
  return start + text.slice(start, end).trimEnd().length;
}

function nothingAt(offset: number): YamlScalar {
  return { kind: "scalar", value: null, source: "", start: offset, end: offset };
}
