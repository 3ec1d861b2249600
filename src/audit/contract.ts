import { z } from "zod";
import { NextPageToken, Timestamp } from "../http/contract.js";
import { GrantView } from "../identity/grant.js";

const AuditActor = z
  .object({
    kind: z.string().meta({ description: "operator, api-token, job, service (the program itself) or unknown" }),
    id: z.string(),
    name: z.string(),
  })
  .meta({ id: "AuditActor" });

const AuditFactory = z.object({ id: z.string(), name: z.string() }).meta({ id: "AuditFactory" });
const AuditCredential = z.object({ id: z.string(), name: z.string() }).meta({ id: "AuditCredential" });

/** An event as it is read back: the members of every action, each there where its action has it. */
export const AuditEvent = z
  .object({
    id: z.string(),
    at: Timestamp,
    action: z.string().meta({ example: "registry-token.issued" }),
    outcome: z.enum(["allowed", "refused", "failed"]).meta({ id: "AuditOutcome" }),
    actor: AuditActor,
    factory: AuditFactory.optional(),
    requestId: z.string().optional(),
    address: z.string().optional(),
    credential: AuditCredential.optional(),
    permissions: z.array(z.string()).optional(),
    grants: z.array(GrantView).optional(),
    expiresAt: Timestamp.optional(),
    secret: z.string().optional(),
    secretVersion: z.int().optional(),
    previousVersion: z.int().optional(),
    matches: z.boolean().optional(),
    keepVersions: z.int().optional(),
    rotationGraceSeconds: z.int().optional(),
    via: z.string().optional(),
    warnings: z.array(z.string()).optional(),
    forced: z.boolean().optional(),
    purged: z.boolean().optional(),
    configVersion: z.int().optional(),
    restoredFrom: z.int().optional(),
    reason: z.string().optional(),
    registry: z.string().optional(),
    registryType: z.string().optional(),
    host: z.string().optional(),
    entry: z.string().optional(),
    kind: z.string().optional(),
    repositories: z.array(z.string()).optional(),
    scopeEnforcedBy: z.string().optional(),
    cached: z.boolean().optional(),
    raw: z.boolean().optional(),
    code: z.string().optional(),
    route: z.string().optional(),
    count: z.int().optional(),
  })
  .meta({ id: "AuditEvent", description: "What happened. Holds names and ids, never a value." });

export const AuditEventList = z
  .object({ items: z.array(AuditEvent), nextPageToken: NextPageToken })
  .meta({ id: "AuditEventList" });
