import type { Invalid } from "../core/problem.js";
import type { Locate } from "./document-text.js";
import { maxDepth } from "./read-yaml.js";
import type { YamlAlias, YamlNode, YamlScalar } from "./yaml-tree.js";

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

// A document without aliases stays below this by its own size. Aliases of aliases grow by powers: nine lines make a
// billion values, and a few make one long string many times over.
const maxExpandedCharacters = 1024 * 1024;

/** What is left to spend, and the outermost alias that is being written out. */
type Budget = { characters: number; depth: number; alias: number | undefined };

class TooLarge extends Error {
  constructor(readonly offset: number) {
    super("expands too far");
  }
}

/**
 * The JSON of a document, aliases written out. Numbers that JSON cannot hold (`.inf`, `.nan`, integers beyond 2^53)
 * become the text that stood there. Every key is an own property of its object, `__proto__` too.
 */
export function treeToJson(
  root: YamlNode | undefined,
  locate: Locate,
): { ok: true; json: JsonValue } | { ok: false; invalid: Invalid[] } {
  if (root === undefined) return { ok: true, json: null };
  const budget = { characters: maxExpandedCharacters, depth: 0, alias: undefined };
  try {
    return { ok: true, json: toJson(root, budget) };
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    const reason = "Its aliases make the document far larger than it is. Write the values out.";
    return { ok: false, invalid: [{ at: locate(error.offset), reason }] };
  }
}

function toJson(node: YamlNode, budget: Budget): JsonValue {
  budget.characters -= node.kind === "scalar" ? node.source.length + 1 : 1;
  // Depth is checked again here: aliases put one deep part inside another.
  if (budget.characters < 0 || budget.depth > 2 * maxDepth) throw new TooLarge(budget.alias ?? node.start);
  budget.depth += 1;
  const json = toJsonInside(node, budget);
  budget.depth -= 1;
  return json;
}

function toJsonInside(node: YamlNode, budget: Budget): JsonValue {
  switch (node.kind) {
    case "scalar":
      return scalarToJson(node);
    case "alias":
      return expand(node, budget);
    case "sequence":
      return node.items.map((item) => toJson(item.node, budget));
    case "mapping":
      return Object.fromEntries(
        node.pairs.map((pair) => {
          budget.characters -= pair.key.length;
          return [pair.key, toJson(pair.value, budget)];
        }),
      );
    default:
      return node satisfies never;
  }
}

function expand(alias: YamlAlias, budget: Budget): JsonValue {
  const outermost = budget.alias;
  budget.alias = outermost ?? alias.start;
  const json = toJson(alias.target, budget);
  budget.alias = outermost;
  return json;
}

function scalarToJson(scalar: YamlScalar): JsonValue {
  const { value } = scalar;
  if (typeof value !== "number") return value;
  const isExact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  return isExact ? value : scalar.source;
}
