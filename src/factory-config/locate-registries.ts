import {
  pairOf,
  type YamlMapping,
  type YamlNode,
  type YamlPair,
  type YamlSequence,
  type YamlTree,
} from "./yaml-tree.js";

export const registriesKey = "container_registries";

/**
 * Where a document keeps its registry entries. `list`: the document is the list itself, as older ones are.
 * `empty`: a list belongs there and none stands there yet (no document, no key, or a key without a value).
 */
export type Registries =
  | { shape: "list"; sequence: YamlSequence }
  | { shape: "mapping"; root: YamlMapping; pair: YamlPair; sequence: YamlSequence }
  | { shape: "mapping"; root: YamlMapping; pair: YamlPair | undefined; sequence: undefined }
  | { shape: "mapping"; root: undefined; pair: undefined; sequence: undefined };

/** Finds the entries; gives the node that stands in their place when it cannot hold any. */
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
