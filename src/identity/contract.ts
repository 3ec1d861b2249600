import { z } from "zod";
import { hasNoControls, NextPageToken, noControlsRule, Timestamp } from "../http/contract.js";
import { Grant, GrantView } from "./grant.js";
import { permissions } from "./permissions.js";

/** A name that a person gives. Control characters would break logs, and NUL has no place in Postgres. */
export const Label = z
  .string()
  .min(1)
  .max(200)
  .refine(hasNoControls, noControlsRule)
  .meta({ description: "What people call it; 1 to 200 characters.", example: "build server" });

export const PermissionName = z.enum(permissions).meta({ id: "Permission" });

export const NewOperatorToken = z.strictObject({ name: Label }).meta({ id: "NewOperatorToken" });

export const OperatorToken = z
  .object({ id: z.uuid(), name: z.string(), createdAt: Timestamp })
  .meta({ id: "OperatorToken" });

export const CreatedOperatorToken = OperatorToken.extend({
  token: z.string().meta({ description: "Shown this once." }),
}).meta({ id: "CreatedOperatorToken" });

export const OperatorTokenList = z
  .object({ items: z.array(OperatorToken), nextPageToken: NextPageToken })
  .meta({ id: "OperatorTokenList" });

export const NewApiToken = z
  .strictObject({
    name: Label,
    permissions: z.array(PermissionName).min(1).max(permissions.length),
    expiresAt: Timestamp.optional().meta({ description: "Absent: as long as its maker lives, else until withdrawn." }),
  })
  .meta({ id: "NewApiToken" });

export const ApiToken = z
  .object({
    id: z.uuid(),
    name: z.string(),
    permissions: z.array(PermissionName),
    createdAt: Timestamp,
    createdBy: z.string().meta({ description: "Name of the credential that made it." }),
    expiresAt: Timestamp.optional(),
  })
  .meta({ id: "ApiToken" });

export const CreatedApiToken = ApiToken.extend({
  token: z.string().meta({ description: "Shown this once." }),
}).meta({ id: "CreatedApiToken" });

export const ApiTokenList = z
  .object({ items: z.array(ApiToken), nextPageToken: NextPageToken })
  .meta({ id: "ApiTokenList" });

export const NewJob = z
  .strictObject({
    name: Label,
    ttlSeconds: z
      .int()
      .min(60)
      .max(86_400)
      .default(3600)
      .meta({ description: "60 s to 24 h; never past its maker's expiry." }),
    grants: z
      .array(Grant)
      .min(1)
      .max(100)
      .optional()
      .meta({ description: "All that it may pull. Absent: everything of every entry." }),
  })
  .meta({ id: "NewJob" });

export const Job = z
  .object({
    id: z.uuid(),
    name: z.string(),
    state: z.enum(["running", "ended", "expired"]).meta({ id: "JobState" }),
    grants: z.array(GrantView).optional(),
    createdAt: Timestamp,
    createdBy: z.string(),
    expiresAt: Timestamp,
  })
  .meta({ id: "Job" });

export const CreatedJob = Job.extend({ token: z.string().meta({ description: "Shown this once." }) }).meta({
  id: "CreatedJob",
});

export const JobList = z.object({ items: z.array(Job), nextPageToken: NextPageToken }).meta({ id: "JobList" });

export const WhoAmI = z
  .object({
    kind: z.enum(["operator", "api-token", "job", "oauth-client", "oidc", "device"]).meta({ id: "CallerKind" }),
    id: z.uuid(),
    name: z.string(),
    factory: z.string().optional().meta({ description: "Absent for an operator." }),
    permissions: z.array(PermissionName),
    grants: z.array(GrantView).optional(),
    expiresAt: Timestamp.optional(),
  })
  .meta({ id: "WhoAmI" });
