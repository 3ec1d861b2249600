import type { FactoryRef } from "../core/caller.js";
import type { PrismaClient } from "../db/database.js";
import type { ParsedVersions } from "./parsed-versions.js";
import { currentDocument } from "./store.js";

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
