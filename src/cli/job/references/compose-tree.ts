import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";
import { interpolate } from "./interpolate.js";
import type { Variables } from "./shell-lexer.js";

type At = {
  file: string;
  line: number;
  /** `!reset` removes the value of earlier files; `!override` replaces it. */
  tag?: "reset" | "override";
};

/** A value of a compose file with its place, variables replaced. */
export type Tree = At &
  (
    | { kind: "map"; members: ReadonlyMap<string, Tree> }
    | { kind: "list"; items: readonly Tree[] }
    | { kind: "text"; text: string; unset: readonly string[]; wrong?: string }
    | { kind: "null" }
  );

export type TreeMap = Extract<Tree, { kind: "map" }>;

/** Limit for one file, against aliases of aliases. */
const maxValues = 50_000;

class TooManyValues extends Error {}

/** @returns the documents of a file, or the line at which it is not valid */
export function parseTrees(text: string, file: string, variables: Variables): Tree[] | { invalidAt: number } {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { merge: true, lineCounter: lines, logLevel: "silent" });
  if (!Array.isArray(documents)) return [];
  const error = documents.flatMap((document) => document.errors)[0];
  if (error) return { invalidAt: error.linePos?.[0].line ?? 1 };
  let values = 0;
  try {
    return documents.map((document) => {
      const open: unknown[] = [];
      // Cached: resolving an alias searches the whole document.
      const targets = new Map<unknown, unknown>();
      const read = (node: unknown, above: At): Tree => {
        values += 1;
        if (values > maxValues) throw new TooManyValues();
        const range = isAlias(node) || isMap(node) || isSeq(node) || isScalar(node) ? node.range : undefined;
        const at: At = { file, line: range ? lines.linePos(range[0]).line : above.line };
        if (isAlias(node)) {
          const target = targets.get(node) ?? node.resolve(document);
          targets.set(node, target);
          // The anchor contains itself.
          if (open.includes(target)) throw new TooManyValues();
          return read(target, at);
        }
        open.push(node);
        const tree = readNode(node, at, read, variables);
        open.pop();
        return tree;
      };
      return read(document.contents, { file, line: 1 });
    });
  } catch (failure) {
    if (failure instanceof TooManyValues || failure instanceof RangeError) return { invalidAt: 1 };
    throw failure;
  }
}

function readNode(node: unknown, place: At, read: (node: unknown, above: At) => Tree, variables: Variables): Tree {
  const at = { ...place, ...tagOf(node) };
  if (isSeq(node)) return { ...at, kind: "list", items: node.items.map((item) => read(item, place)) };
  if (isMap(node)) {
    const members = new Map<string, Tree>();
    const merged: Tree[] = [];
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : String(key);
      const line = isScalar(key) && key.range ? read(key, place).line : place.line;
      const member = read(value, { ...place, line });
      if (name === "<<" || (isScalar(key) && typeof key.value === "symbol")) merged.push(member);
      // The place of a value is that of its key.
      else members.set(name, { ...member, line });
    }
    // The first fragment wins, and the members of this map win over all (YAML merge key, yaml.org/type/merge).
    for (const fragment of merged.flatMap((one) => (one.kind === "list" ? one.items : [one])))
      if (fragment.kind === "map")
        for (const [name, member] of fragment.members) if (!members.has(name)) members.set(name, member);
    return { ...at, kind: "map", members };
  }
  const value: unknown = isScalar(node) ? node.value : null;
  if (value === null || value === undefined) return { ...at, kind: "null" };
  if (typeof value !== "string") return { ...at, kind: "text", text: String(value), unset: [] };
  return { ...at, kind: "text", ...interpolate(value, variables) };
}

function tagOf(node: unknown): Pick<At, "tag"> {
  const tag = isMap(node) || isSeq(node) || isScalar(node) ? node.tag : undefined;
  if (tag === "!reset") return { tag: "reset" };
  return tag === "!override" ? { tag: "override" } : {};
}

/**
 * Merges one value over another, as compose merges files and services.
 * Sources: compose specification, "Merge"; compose-spec/compose-go, override/merge.go, loader/reset.go.
 */
export function mergeTrees(base: Tree | undefined, over: Tree, path: readonly string[] = []): Tree {
  if (base === undefined || base.tag === "reset" || over.tag !== undefined) return over;
  if (over.kind === "null") return base;
  const [name = "", ...above] = path.toReversed();
  if (name === "build") return mergeMaps(buildAsMap(base), buildAsMap(over), path);
  // These are mappings or lists; the later value of a name wins.
  if (above[0] === "build" && ["args", "additional_contexts"].includes(name))
    return { ...over, kind: "list", items: [...asList(base), ...asList(over)] };
  if (base.kind === "map" && over.kind === "map") return mergeMaps(base, over, path);
  if (base.kind === "list" && over.kind === "list") {
    if (name === "volumes") return { ...over, items: mergeVolumes(base.items, over.items) };
    return { ...over, items: [...base.items, ...over.items] };
  }
  return over;
}

function mergeMaps(base: Tree, over: Tree, path: readonly string[]): Tree {
  if (base.kind !== "map" || over.kind !== "map") return over;
  const members = new Map(base.members);
  for (const [name, member] of over.members) members.set(name, mergeTrees(members.get(name), member, [...path, name]));
  return { ...over, line: over.line, members };
}

function buildAsMap(build: Tree): Tree {
  return build.kind === "text" ? { ...build, kind: "map", members: new Map([["context", build]]) } : build;
}

/** `{A: 1}` as `[A=1]`; a name without a value stays alone. */
function asList(tree: Tree): readonly Tree[] {
  if (tree.kind === "list") return tree.items;
  if (tree.kind !== "map") return [];
  return [...tree.members].map(([name, member]) =>
    member.kind === "text"
      ? { ...member, text: `${name}=${member.text}` }
      : { file: member.file, line: member.line, kind: "text", text: name, unset: [] },
  );
}

/** Volumes are identified by their mount point. */
function mergeVolumes(base: readonly Tree[], over: readonly Tree[]): Tree[] {
  const targets = new Set(over.map(targetOf));
  return [...base.filter((volume) => !targets.has(targetOf(volume))), ...over];
}

function targetOf(volume: Tree): string {
  const written = volume.kind === "map" ? textIn(volume, "target") : undefined;
  if (volume.kind !== "text") return written ?? "";
  const [first = "", second] = volume.text.split(":");
  return second ?? first;
}

/** A member, unless it is null or removed by `!reset`. */
export function memberOf(tree: Tree | undefined, name: string): Tree | undefined {
  const member = tree?.kind === "map" ? tree.members.get(name) : undefined;
  return member === undefined || member.tag === "reset" || member.kind === "null" ? undefined : member;
}

export function textIn(tree: Tree | undefined, name: string): string | undefined {
  const member = memberOf(tree, name);
  return member?.kind === "text" ? member.text : undefined;
}

export function itemsIn(tree: Tree | undefined, name: string): readonly Tree[] {
  const member = memberOf(tree, name);
  return member?.kind === "list" ? member.items.filter(({ tag }) => tag !== "reset") : [];
}

/** Names and values of a mapping, or of a list of `NAME=value`; a name without a value has none. */
export function pairsIn(tree: Tree | undefined, name: string): [string, Tree | undefined][] {
  const member = memberOf(tree, name);
  return (member === undefined ? [] : asList(member)).flatMap((item): [string, Tree | undefined][] => {
    if (item.kind !== "text") return [];
    const equals = item.text.indexOf("=");
    if (equals === -1) return [[item.text, undefined]];
    return [[item.text.slice(0, equals), { ...item, text: item.text.slice(equals + 1) }]];
  });
}
