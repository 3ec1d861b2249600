import { z } from "zod";
import { NextPageToken, Timestamp, VersionInPath } from "../../http/contract.js";
import { SecretParams } from "../contract.js";

export const SecretVersionParams = SecretParams.extend({ version: VersionInPath });

export const SecretVersion = z
  .object({
    version: z.int(),
    state: z.enum(["current", "previous", "staged", "superseded", "destroyed"]).meta({
      id: "SecretVersionState",
      description:
        "`current`: what tokens are minted from. `previous`: what was current before, and what a rollback goes back to. `staged`: waits to be promoted. `destroyed`: its value is gone for good.",
    }),
    fingerprint: z.string().optional().meta({
      description:
        "Keyed: two versions of one secret hold the same value when theirs are equal. Absent once destroyed, and where it is not known since its key was replaced.",
      example: "fp-5e1f0c9a3b7d2468ace0",
    }),
    deliverToJobs: z.boolean().meta({
      description:
        "While it is current, its value may leave in a job's /secrets. Never for a version that was current while an entry named the secret.",
    }),
    createdAt: Timestamp,
    createdBy: z.string(),
    expiresAt: Timestamp.optional().meta({ description: "When the credential in it ends, as its writer noted." }),
    restoredFrom: z.int().optional().meta({ description: "The older version that this one repeats." }),
    keptUntil: Timestamp.optional().meta({
      description:
        "Of the previous one: until then it is destroyed with `force` only. Tokens minted from it stay valid.",
    }),
    destroyedAt: Timestamp.optional(),
  })
  .meta({ id: "SecretVersion" });

export const SecretVersionList = z
  .object({ items: z.array(SecretVersion), nextPageToken: NextPageToken })
  .meta({ id: "SecretVersionList" });

export const CurrentVersion = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "The current version now." }),
    previousVersion: z.int().optional().meta({ description: "The one before, which a rollback goes back to." }),
  })
  .meta({ id: "CurrentVersion" });
