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
