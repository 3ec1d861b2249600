import { LRUCache } from "lru-cache";
import type { FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import type { RegistryEntry } from "./entry.js";
import type { ConfigDocuments, ReadDocument } from "./read-document.js";
import { currentDocument } from "./store.js";

/**
 * The entries of the current config, in the order of the document; none, at version 0, before there is a config.
 * @throws Problem `invalid-config` for a document of another release that this one cannot parse
 */
export async function currentEntries(
  { prisma, parsedVersions }: { prisma: PrismaClient; parsedVersions: ParsedVersions },
  factoryId: string,
): Promise<{ version: number; entries: RegistryEntry[] }> {
  const current = await currentDocument(prisma, factoryId);
  if (!current) return { version: 0, entries: [] };
  const parsed = await parsedVersions.parse(factoryId, current);
  if (!parsed.ok)
    throw new Problem("invalid-config", "This release cannot parse the stored config. Publish it again to see why.");
  return { version: current.version, entries: parsed.config.entries.map(({ entry }) => entry) };
}

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

/** Where the current config of a factory names a secret: ids of entries, and places of webhooks in the document. */
export type Mentions = { entries: string[]; webhooks: string[] };

/** Everything in the current config that names this secret. A document that this release cannot parse names nothing. */
export async function mentionsOf(
  deps: { prisma: PrismaClient; parsedVersions: ParsedVersions },
  factory: FactoryRef,
  secretName: string,
): Promise<Mentions> {
  const current = await currentDocument(deps.prisma, factory.id);
  const parsed = current && (await deps.parsedVersions.parse(factory.id, current));
  if (!parsed?.ok) return { entries: [], webhooks: [] };
  const { entries, webhookSecrets } = parsed.config;
  return {
    entries: entries.filter(({ entry }) => entry.secretName === secretName).map(({ entry }) => entry.id),
    webhooks: webhookSecrets.filter((mention) => mention.secretName === secretName).map(({ at }) => at),
  };
}
