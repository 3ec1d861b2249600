import { isDeepStrictEqual } from "node:util";
import { Problem } from "../core/problem.js";
import { registriesKey } from "./document-text.js";
import { additionsOf, applyEdits, removalsOf, replacementsOf, type TextEdit } from "./edit-text.js";
import { knownEntryKeys, type RegistryEntry } from "./entry.js";
import { namesOf, type ParsedConfig, type ParsedTree, parseToTree } from "./parse-document.js";

import type { JsonValue } from "./tree-to-json.js";

/**
 * Adds an entry after the others and gives the new text. Every byte that was there stays, but for the `[]` or `null` of
 * an empty list.
 *
 * Throws a `Problem`: `already-exists` when another entry is for one of its hosts, `invalid-config` when the text is not
 * a valid factory config or its layout does not allow the edit.
 */
export function addEntry(text: string, entry: RegistryEntry): string {
  const parsed = parseOrThrow(text);
  refuseTwin(parsed, entry, undefined);
  return firstThatHolds(parsed, additionsOf(parsed, entry), (after) => {
    const index = after.entries.findIndex((other) => other.entry.id === entry.id);
    return holds(parsed.config, after, { removed: undefined, written: index, entry });
  });
}

/**
 * Writes `entry` in the place of the entry with the id `id` (it may have another id itself) and gives the new text.
 * Every byte outside that entry stays; inside it comments, order and keys we do not know stay where that is possible.
 *
 * Throws a `Problem`: `not-found`, `already-exists`, `invalid-config` as `addEntry`.
 */
export function replaceEntry(text: string, id: string, entry: RegistryEntry): string {
  const parsed = parseOrThrow(text);
  const index = indexOrThrow(parsed, id);
  refuseTwin(parsed, entry, index);
  if (isDeepStrictEqual(parsed.config.entries[index]?.entry, entry)) return text;
  const written = entriesAsJson(parsed.config)[index];
  return firstThatHolds(parsed, replacementsOf(parsed, index, entry, written), (after) =>
    holds(parsed.config, after, { removed: index, written: index, entry }),
  );
}

/**
 * Takes the entry with the id `id` out and gives the new text. Every byte outside that entry and its lines (or its comma)
 * stays. Throws a `Problem`: `not-found`, `invalid-config` as `addEntry`.
 */
export function removeEntry(text: string, id: string): string {
  const parsed = parseOrThrow(text);
  const index = indexOrThrow(parsed, id);
  return firstThatHolds(parsed, removalsOf(parsed, index), (after) =>
    holds(parsed.config, after, { removed: index, written: undefined, entry: undefined }),
  );
}

function parseOrThrow(text: string): ParsedTree {
  const result = parseToTree(text);
  if (result.ok) return result.parsed;
  const detail = "The factory config has mistakes, so no single entry can be edited. PUT a corrected document.";
  throw new Problem("invalid-config", detail, { invalid: result.invalid });
}

function indexOrThrow({ config }: ParsedTree, id: string): number {
  const index = config.entries.findIndex(({ entry }) => entry.id === id);
  if (index === -1) throw new Problem("not-found", "No registry entry has this id. List them to see which exist.");
  return index;
}

function refuseTwin({ config }: ParsedTree, entry: RegistryEntry, except: number | undefined): void {
  const names = new Set(namesOf(entry));
  const twin = config.entries.find(
    (other, index) => index !== except && namesOf(other.entry).some((n) => names.has(n)),
  );
  if (twin === undefined) return;
  const detail = `The entry ${twin.entry.id} at ${twin.at} is for the same registry. Change that one, or remove it first.`;
  throw new Problem("already-exists", detail);
}

/** YAML has more layouts than anyone foresees: an edit counts only when the new text reads back as what was meant. */
function firstThatHolds(
  { mark, tree }: ParsedTree,
  candidates: readonly (readonly TextEdit[])[],
  isAsMeant: (after: ParsedConfig) => boolean,
): string {
  let invalid: ReturnType<typeof parseToTree> | undefined;
  for (const edits of candidates) {
    const edited = mark + applyEdits(tree.text, edits);
    const result = parseToTree(edited);
    if (result.ok && isAsMeant(result.parsed.config)) return edited;
    invalid ??= result;
  }
  const isTooLarge =
    invalid !== undefined && !invalid.ok && invalid.invalid.some(({ reason }) => reason.includes("KiB"));
  const detail = isTooLarge
    ? "With this entry the factory config would be larger than 256 KiB."
    : "The layout of this factory config does not allow this edit of one entry. PUT the whole document instead.";
  throw new Problem("invalid-config", detail);
}

type Change = { removed: number | undefined; written: number | undefined; entry: RegistryEntry | undefined };

function holds(before: ParsedConfig, after: ParsedConfig, { removed, written, entry }: Change): boolean {
  const others = (config: ParsedConfig, except: number | undefined) =>
    config.entries.map((located) => located.entry).filter((_, index) => index !== except);
  const othersAsJson = (config: ParsedConfig, except: number | undefined) =>
    entriesAsJson(config).filter((_, index) => index !== except);
  const isWritten = written === undefined || isDeepStrictEqual(after.entries[written]?.entry, entry);
  const keptKeys =
    removed === undefined || written === undefined
      ? true
      : isDeepStrictEqual(unknownKeys(entriesAsJson(before)[removed]), unknownKeys(entriesAsJson(after)[written]));
  return (
    isWritten &&
    keptKeys &&
    isDeepStrictEqual(others(before, removed), others(after, written)) &&
    isDeepStrictEqual(othersAsJson(before, removed), othersAsJson(after, written)) &&
    isDeepStrictEqual(restOf(before), restOf(after)) &&
    before.shape === after.shape
  );
}

function entriesAsJson({ json }: ParsedConfig): JsonValue[] {
  if (Array.isArray(json)) return json;
  const entries = isObject(json) ? json[registriesKey] : undefined;
  return Array.isArray(entries) ? entries : [];
}

function restOf({ json }: ParsedConfig): [string, JsonValue][] {
  return isObject(json) ? Object.entries(json).filter(([key]) => key !== registriesKey) : [];
}

function unknownKeys(entry: JsonValue | undefined): [string, JsonValue][] {
  return isObject(entry) ? Object.entries(entry).filter(([key]) => !knownEntryKeys.includes(key)) : [];
}

function isObject(json: JsonValue | undefined): json is { [key: string]: JsonValue } {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
