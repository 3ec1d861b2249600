import { LRUCache } from "lru-cache";
import { type ParseResult, parseDocument } from "./parse-document.js";

/** In bytes of documents: what is parsed takes some ten times as much memory. */
const maxBytes = 16 * 1024 * 1024;

/** Remembers what stored versions say. A version never changes, so nothing here gets out of date. */
export class ParsedVersions {
  readonly #parsed = new LRUCache<string, ParseResult>({ maxSize: maxBytes });

  /** As `parseDocument`, for the document of this version. */
  parse(factoryId: string, { version, document }: { version: number; document: Uint8Array }): ParseResult {
    const key = `${factoryId} ${version}`;
    const known = this.#parsed.get(key);
    if (known) return known;
    const parsed = parseDocument(document);
    // An empty document has a size too.
    this.#parsed.set(key, parsed, { size: document.length + 1 });
    return parsed;
  }
}
