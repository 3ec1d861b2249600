import { z } from "zod";
import { Grant, GrantView } from "../core/grant.js";
import { permissions, roleNames } from "../core/permissions.js";
import { hasNoControls, NextPageToken, noControlsRule, Timestamp, Warning } from "../http/contract.js";

/** A name that a person gives. Control characters would break logs, and NUL has no place in Postgres. */
export const Label = z
  .string()
  .min(1)
  .max(200)
  .refine(hasNoControls, noControlsRule)
  .meta({ description: "What people call it; 1 to 200 characters.", example: "build server" });

export const PermissionName = z.enum(permissions).meta({ id: "Permission" });

export const RoleName = z.enum(roleNames).meta({ id: "RoleName" });

/** What is asked for a new credential; at least one of the two. */
export const askedPermissions = {
  permissions: z
    .array(PermissionName)
    .min(1)
    .max(permissions.length)
    .optional()
    .meta({ description: "What it may do. These, `roles`, or both." }),
  roles: z
    .array(RoleName)
    .min(1)
    .max(roleNames.length)
    .optional()
    .meta({ description: "Names for sets of permissions, as `GET /v1/roles` lists them.", example: ["developer"] }),
};

/** What a credential was given, as replies show it. */
export const heldPermissions = {
  permissions: z.array(PermissionName).meta({ description: "All that it may do, whatever it was asked for as." }),
  roles: z.array(RoleName).optional().meta({ description: "The roles that it was made with. Absent: none." }),
};

export const RoleList = z
  .object({
    items: z.array(z.object({ name: RoleName, permissions: z.array(PermissionName) }).meta({ id: "Role" })),
  })
  .meta({ id: "RoleList" });

export const OperatorTokenRequest = z.strictObject({ name: Label }).meta({ id: "OperatorTokenRequest" });

export const OperatorToken = z
  .object({ id: z.uuid(), name: z.string(), createdAt: Timestamp })
  .meta({ id: "OperatorToken" });

export const CreatedOperatorToken = OperatorToken.extend({
  token: z.string().meta({ description: "Shown this once." }),
}).meta({ id: "CreatedOperatorToken" });

export const OperatorTokenList = z
  .object({ items: z.array(OperatorToken), nextPageToken: NextPageToken })
  .meta({ id: "OperatorTokenList" });

export const ApiTokenRequest = z
  .strictObject({
    name: Label,
    ...askedPermissions,
    expiresAt: Timestamp.optional().meta({ description: "Absent: its maker's own expiry, else until withdrawn." }),
  })
  .meta({ id: "ApiTokenRequest" });

export const ApiToken = z
  .object({
    id: z.uuid(),
    name: z.string(),
    ...heldPermissions,
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

export const JobRequest = z
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
    deliverSecrets: z.boolean().optional().meta({
      description:
        "Whether its `/secrets` hold the values of secrets that are flagged `deliverToJobs`. Absent: only without `grants`.",
    }),
  })
  .meta({ id: "JobRequest" });

export const Job = z
  .object({
    id: z.uuid(),
    name: z.string(),
    state: z.enum(["running", "ended", "expired"]).meta({ id: "JobState" }),
    grants: z.array(GrantView).optional(),
    deliverSecrets: z.boolean(),
    createdAt: Timestamp,
    createdBy: z.string(),
    expiresAt: Timestamp,
  })
  .meta({ id: "Job" });

export const CreatedJob = Job.extend({
  token: z.string().meta({ description: "Shown this once." }),
  warnings: z.array(Warning).meta({ description: "`registry-unknown`: a grant names what no registry entry serves." }),
}).meta({ id: "CreatedJob" });

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
