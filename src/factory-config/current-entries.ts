import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import type { RegistryEntry } from "./entry.js";
import type { ParsedVersions } from "./parsed-versions.js";
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
