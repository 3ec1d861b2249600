import type { Invalid } from "../core/problem.js";
import { secretNamePattern } from "../http/contract.js";
import {
  type Locate,
  locateRegistries,
  locator,
  type Registries,
  readDocumentText,
  registriesKey,
} from "./document-text.js";
import { lineEnd } from "./edit-text.js";
import type { RegistryEntry } from "./entry.js";
import { type Findings, inDocumentOrder } from "./findings.js";
import { parseEntry } from "./parse-entry.js";
import { readYaml } from "./read-yaml.js";
import { remarkOnDocumentKeys } from "./remarks.js";
import { type JsonValue, treeToJson } from "./tree-to-json.js";
import { type Decoration, kindOf, pairOf, resolved, type Span, type YamlNode, type YamlTree } from "./yaml-tree.js";

/**
 * An entry and where its mapping is in the document: `at` in words, `range` in UTF-16 units of its text
 * after a byte order mark.
 */
export type LocatedEntry = { entry: RegistryEntry; at: string; range: Span };

/** The name of a secret that the document mentions outside its entries (`notify.webhooks[].secret_name`). */
export type SecretMention = { secretName: string; at: string };

export type ParsedConfig = {
  /** `list` when the document is the bare list of entries, as older ones are. */
  shape: "mapping" | "list";
  entries: readonly LocatedEntry[];
  webhookSecrets: readonly SecretMention[];
  /** The whole document as JSON, aliases written out; `null` for an empty one. */
  json: JsonValue;
};

export type ParseResult = { ok: true; config: ParsedConfig; warnings: Invalid[] } | { ok: false; invalid: Invalid[] };

/** Parsed, and the tree to edit it by. */
export type ParsedTree = {
  config: ParsedConfig;
  warnings: Invalid[];
  /** The byte order mark before the tree's text, or nothing. */
  mark: string;
  tree: YamlTree;
  registries: Registries;
};

/**
 * Parses a factory-config.yml: a mapping with `container_registries` (beside any other keys, which are kept), the bare
 * list of entries, or nothing. Never throws, whatever the bytes. All problems are found at once; each says where
 * (`line L, column C`), what was found and what is allowed, and none quotes a value that may be a secret.
 *
 * Whether the secrets exist is not asked here. Source of the format: Foundries.io's factory definition.
 */
export function parseDocument(source: Uint8Array | string): ParseResult {
  const parsed = parseToTree(source);
  return parsed.ok ? { ok: true, config: parsed.parsed.config, warnings: parsed.parsed.warnings } : parsed;
}

/** As `parseDocument`, with the tree. */
export function parseToTree(
  source: Uint8Array | string,
): { ok: true; parsed: ParsedTree } | { ok: false; invalid: Invalid[] } {
  const read = readDocumentText(source);
  if (!read.ok) return read;
  const locate = locator(read.text);
  const yaml = readYaml(read.text, locate);
  if (!yaml.ok) return yaml;
  const json = treeToJson(yaml.tree.root, locate);
  if (!json.ok) return json;
  const located = locateRegistries(yaml.tree);
  if ("unfit" in located) return { ok: false, invalid: [unfit(yaml.tree, located.unfit, locate)] };
  const findings: Findings = { locate, invalid: [], warnings: [] };
  remarkOnDecorations(yaml.tree, located.found, findings);
  remarkOnDocumentKeys(yaml.tree, located.found, findings);
  const entries = readEntries(read.text, located.found, findings);
  const webhookSecrets = readWebhookSecrets(yaml.tree, findings);
  if (findings.invalid.length > 0) return { ok: false, invalid: inDocumentOrder(findings.invalid, locate) };
  const warnings = inDocumentOrder(findings.warnings, locate);
  const config: ParsedConfig = { shape: located.found.shape, entries, webhookSecrets, json: json.json };
  return { ok: true, parsed: { config, warnings, mark: read.mark, tree: yaml.tree, registries: located.found } };
}

function unfit(tree: YamlTree, node: YamlNode, locate: Locate): Invalid {
  const found = `found ${kindOf(node)}`;
  if (node === tree.root) {
    const reason = `A factory config is a mapping with ${registriesKey}, or the list of its entries; ${found}.`;
    return { at: locate(node.start), reason };
  }
  const advice = node.kind === "mapping" ? ' Put "- " in front of each entry.' : "";
  return { at: locate(node.start), reason: `${registriesKey} must be a list of entries; ${found}.${advice}` };
}

function readEntries(text: string, registries: Registries, findings: Findings): LocatedEntry[] {
  const entries: LocatedEntry[] = [];
  const firstOf = new Map<string, string>();
  for (const { node, dash } of registries.sequence?.items ?? []) {
    const offset = node.end > node.start ? node.start : (dash ?? node.start);
    const entry = parseEntry(node, offset, findings);
    if (entry === undefined) continue;
    const at = findings.locate(offset);
    const first = namesOf(entry)
      .map((name) => firstOf.get(name))
      .find((place) => place !== undefined);
    if (first !== undefined) findings.invalid.push({ offset, reason: reasonOfTwin(entry, first) });
    for (const name of namesOf(entry)) if (!firstOf.has(name)) firstOf.set(name, at);
    // The rest of its last line is the entry's as well: no one else can have a comment there.
    const end = dash === undefined ? node.end : lineEnd(text, node.end);
    entries.push({ entry, at, range: { start: node.start, end } });
  }
  return entries;
}

/** What no other entry may have: the id and every host. */
export function namesOf(entry: RegistryEntry): string[] {
  return entry.type === "gar" ? [entry.id, ...entry.hosts] : [entry.id];
}

function reasonOfTwin(entry: RegistryEntry, first: string): string {
  const hasHost = entry.type === "gar" ? entry.hosts.length > 0 : entry.host !== undefined;
  if (hasHost) return `The entry at ${first} is for the same host. Keep one entry for a host.`;
  const advice = {
    aws: "Give one a url, another region or another profile",
    azure: "Give one a url",
    gar: "Give one a url",
  };
  const how = entry.type === "generic" ? "Give one another url" : advice[entry.type];
  return `The entry at ${first} is of type ${entry.type} and without a host as well; nothing tells the two apart. ${how}.`;
}

/**
 * Anchors, aliases and tags are refused among the entries: an entry is edited in place, and a change to what another
 * part of the document refers to would change that part. Merge keys are refused where we read, because YAML 1.2 has
 * none: programs that do merge (PyYAML) would see other entries than we do.
 */
function remarkOnDecorations(tree: YamlTree, registries: Registries, findings: Findings): void {
  const entries = registries.shape === "list" ? registries.sequence : registries.pair?.value;
  const rootKeys = tree.root?.kind === "mapping" ? tree.root.pairs.map((pair) => pair.start) : [];
  const notify = tree.root?.kind === "mapping" ? pairOf(tree.root, "notify") : undefined;
  for (const { kind, offset } of tree.decorations) {
    const amongEntries = isInside(offset, entries);
    if (kind === "merge") {
      const isRead = amongEntries || isInside(offset, notify) || rootKeys.includes(offset);
      const list = isRead ? findings.invalid : findings.warnings;
      list.push({ offset, reason: isRead ? mergeRefused : mergeIsPlain });
    } else if (amongEntries) {
      findings.invalid.push({ offset, reason: reasonOfDecoration[kind] });
    }
  }
}

function isInside(offset: number, span: Span | undefined): boolean {
  return span !== undefined && offset >= span.start && offset <= span.end;
}

const mergeRefused =
  "A merge key (<<) is not part of YAML 1.2, and programs disagree on what it does. Write the keys out.";
const mergeIsPlain = "A merge key (<<) is not part of YAML 1.2: it is kept, and read here as a key like any other.";

const reasonOfDecoration = {
  anchor: "An entry cannot have an anchor (&): it is edited in place. Remove the anchor.",
  alias: "An entry cannot have an alias (*): it is edited in place. Write the value out.",
  tag: "An entry cannot have a tag (!). Remove it; quotes make any value text.",
} as const satisfies Record<Exclude<Decoration["kind"], "merge">, string>;

function readWebhookSecrets(tree: YamlTree, findings: Findings): SecretMention[] {
  const notify = tree.root?.kind === "mapping" ? pairOf(tree.root, "notify")?.value : undefined;
  const settings = notify === undefined ? undefined : resolved(notify);
  const webhooks = settings?.kind === "mapping" ? pairOf(settings, "webhooks")?.value : undefined;
  const list = webhooks === undefined ? undefined : resolved(webhooks);
  if (list?.kind !== "sequence") return [];
  const mentions: SecretMention[] = [];
  for (const item of list.items) {
    const webhook = resolved(item.node);
    const pair = webhook.kind === "mapping" ? pairOf(webhook, "secret_name") : undefined;
    if (pair === undefined) continue;
    const value = resolved(pair.value);
    const offset = pair.value.end > pair.value.start ? pair.value.start : pair.start;
    if (value.kind === "scalar" && typeof value.value === "string" && secretNamePattern.test(value.value)) {
      mentions.push({ secretName: value.value, at: findings.locate(offset) });
    } else {
      // Not ours to refuse: the webhooks belong to another program.
      findings.warnings.push({ offset, reason: "secret_name is not the name of a secret and is ignored." });
    }
  }
  return mentions;
}
