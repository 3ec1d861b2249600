import { LRUCache } from "lru-cache";
import type { ConfigDocuments, ReadDocument } from "./read-document.js";

/** In bytes of documents: what is parsed takes some ten times as much memory. */
const maxBytes = 16 * 1024 * 1024;

/** Remembers what stored versions say. A version never changes, so nothing here gets out of date. */
export class ParsedVersions {
  readonly #documents: ConfigDocuments;
  readonly #parsed = new LRUCache<string, Promise<ReadDocument>>({ maxSize: maxBytes });

  constructor(documents: ConfigDocuments) {
    this.#documents = documents;
  }

  /** As `ConfigDocuments.read`, for the document of this version. Those who ask together share one reading. */
  parse(factoryId: string, { version, document }: { version: number; document: Uint8Array }): Promise<ReadDocument> {
    const key = `${factoryId} ${version}`;
    const known = this.#parsed.get(key);
    if (known) return known;
    const parsing = this.#documents.read(factoryId, document);
    // An empty document has a size too.
    this.#parsed.set(key, parsing, { size: document.length + 1 });
    parsing.catch(() => this.#parsed.delete(key));
    return parsing;
  }
}
