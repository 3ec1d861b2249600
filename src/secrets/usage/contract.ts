import { z } from "zod";
import { Timestamp } from "../../http/contract.js";

const SecretUse = z
  .object({
    version: z.int(),
    kind: z.string().meta({ description: "operator, api-token, job, oauth-client, oidc or device." }),
    id: z.string(),
    name: z.string(),
    lastUsedAt: Timestamp,
    tokensUntil: Timestamp.meta({ description: "When the last token that it was given expires." }),
  })
  .meta({ id: "SecretUse", description: "A caller who was given tokens by a version." });

export const SecretUsage = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "The current version." }),
    entries: z.array(z.string()).meta({ description: "Ids of the registry entries that name it." }),
    webhooks: z.array(z.string()).meta({ description: "Where in the factory config a webhook names it." }),
    lastUsedAt: Timestamp.optional(),
    olderTokensUntil: Timestamp.optional().meta({
      description:
        "When the last token of a version that is not current expires. Until then its credential should stay valid in its cloud. Absent: no such token lives.",
    }),
    uses: z.array(SecretUse).meta({ description: "The last 200, latest first; of the last 90 days." }),
  })
  .meta({ id: "SecretUsage" });

const RotationReportItem = z
  .object({
    name: z.string(),
    version: z.int(),
    createdAt: Timestamp,
    rotatedAt: Timestamp.meta({
      description:
        "When this value first became the current one. Writing the same value again does not move it, nor does a rollback.",
    }),
    ageDays: z.int().meta({ description: "Whole days since then." }),
    expiresAt: Timestamp.optional(),
    lastUsedAt: Timestamp.optional().meta({ description: "Absent: not in the last 90 days." }),
    usedByRegistries: z.boolean(),
    stagedVersions: z.int(),
    olderVersionLastUsedAt: Timestamp.optional(),
    olderTokensUntil: Timestamp.optional().meta({ description: "Absent: nothing uses an older version any more." }),
  })
  .meta({ id: "RotationReportItem" });

export const RotationReport = z
  .object({ at: Timestamp, secrets: z.array(RotationReportItem) })
  .meta({ id: "RotationReport", description: "Every secret with its age, and whether an older version is in use." });

export const RotationReportQuery = z.strictObject({
  expiresBefore: Timestamp.optional().meta({ description: "Only those whose credential ends before this time." }),
  unusedSince: Timestamp.optional().meta({ description: "Only those that nobody has used since this time." }),
  rotatedBefore: Timestamp.optional().meta({ description: "Only those that were last rotated before this time." }),
});
