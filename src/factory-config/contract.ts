import { z } from "zod";
import { Flag, hasNoControls, NextPageToken, noControlsRule, Timestamp } from "../http/contract.js";
import { RegistryEntryView } from "./entry-contract.js";

export const ConfigWarning = z
  .object({ at: z.string().meta({ description: "Line and column." }), message: z.string() })
  .meta({ id: "ConfigWarning" });

export const WrittenConfig = z
  .object({
    version: z.int(),
    unchanged: z.boolean().meta({ description: "The document was the current one already: no new version was made." }),
    warnings: z.array(ConfigWarning),
  })
  .meta({ id: "WrittenConfig" });

export const ParsedDocument = z.unknown().meta({
  id: "ParsedDocument",
  description: "The YAML document as JSON: a mapping, or the bare list of entries.",
});

export const FactoryConfig = z
  .object({ version: z.int(), document: ParsedDocument, entries: z.array(RegistryEntryView) })
  .meta({ id: "FactoryConfig" });

export const ConfigVersion = z
  .object({
    version: z.int(),
    current: z.boolean(),
    createdAt: Timestamp,
    createdBy: z.string(),
    reason: z.string().optional(),
    restoredFrom: z.int().optional(),
  })
  .meta({ id: "ConfigVersion" });

export const ConfigVersionList = z
  .object({ items: z.array(ConfigVersion), nextPageToken: NextPageToken })
  .meta({ id: "ConfigVersionList" });

export const WrittenEntry = z
  .object({ entry: RegistryEntryView, configVersion: z.int(), warnings: z.array(ConfigWarning) })
  .meta({ id: "WrittenEntry" });

export const RegistryEntryList = z
  .object({ items: z.array(RegistryEntryView), nextPageToken: NextPageToken })
  .meta({ id: "RegistryEntryList" });

export const Reason = z
  .string()
  .min(1)
  .max(500)
  .refine(hasNoControls, noControlsRule)
  .optional()
  .meta({ description: "Why; kept in the history and the audit." });

export const PublishQuery = z.strictObject({
  allowMissingSecrets: Flag("Take entries whose secret does not exist yet, with a warning."),
  reason: Reason,
});
