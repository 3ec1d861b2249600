import type { Invalid } from "../core/problem.js";
import type { RegistryEntry } from "./entry.js";
import { type LocatedEntry, parseDocument, type SecretMention } from "./parse-document.js";

/** What a document says. Its JSON is text: a large object would take long to hand over between threads. */
export type DocumentContent = {
  entries: readonly LocatedEntry[];
  webhookSecrets: readonly SecretMention[];
  json: string;
};

export type ReadDocument =
  | { ok: true; config: DocumentContent; warnings: Invalid[] }
  | { ok: false; invalid: Invalid[] };

/**
 * Reads and edits factory configs beside the event loop. Each method throws a Problem `too-many-requests` when too many
 * documents of this factory wait, `invalid-config` when a document takes too much time or memory, and `unavailable`.
 */
export type ConfigDocuments = {
  /** As `readDocument`. */
  read(factoryId: string, document: Uint8Array): Promise<ReadDocument>;
  /** As `addEntry` of edit-entries.ts. */
  addEntry(factoryId: string, text: string, entry: RegistryEntry): Promise<string>;
  /** As `replaceEntry` of edit-entries.ts. */
  replaceEntry(factoryId: string, text: string, id: string, entry: RegistryEntry): Promise<string>;
  /** As `removeEntry` of edit-entries.ts. */
  removeEntry(factoryId: string, text: string, id: string): Promise<string>;
};

/** As `parseDocument`, with the JSON as text. */
export function readDocument(source: Uint8Array): ReadDocument {
  const parsed = parseDocument(source);
  if (!parsed.ok) return parsed;
  const { entries, webhookSecrets, json } = parsed.config;
  return { ok: true, config: { entries, webhookSecrets, json: JSON.stringify(json) }, warnings: parsed.warnings };
}
