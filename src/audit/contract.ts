import { z } from "zod";
import { GrantView } from "../core/grant.js";
import { NextPageToken, Timestamp } from "../http/contract.js";

const AuditActor = z
  .object({
    kind: z.string().meta({
      description:
        "operator, api-token, job, oauth-client, oidc (a workload), device, service (the program itself) or unknown",
    }),
    id: z.string(),
    name: z.string(),
  })
  .meta({ id: "AuditActor" });

const AuditFactory = z.object({ id: z.string(), name: z.string() }).meta({ id: "AuditFactory" });
const AuditCredential = z.object({ id: z.string(), name: z.string() }).meta({ id: "AuditCredential" });

const AuditClaim = z.object({ name: z.string(), value: z.string() }).meta({ id: "AuditClaim" });

const AuditEvidence = z
  .object({
    issuer: z.string().optional(),
    verified: z.boolean().optional().meta({
      description:
        "Whether the signature of a refused ID token was verified; false when the issuer's keys were not held.",
    }),
    rules: z.array(AuditCredential).optional().meta({ description: "The trust rules that matched." }),
    claims: z.array(AuditClaim).optional().meta({ description: "Those that mattered, 200 characters of each." }),
    authority: AuditCredential.optional(),
    serial: z.string().optional(),
  })
  .meta({ id: "AuditEvidence", description: "Why a caller without a credential of ours was let in." });

const PulledThing = z
  .enum(["manifest", "blob", "tags", "referrers"])
  .meta({ id: "PulledThing", description: "What the relay was asked for." });

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
    clientRequestId: z.string().optional().meta({
      description: "The client's own `X-Request-Id`, as it sent it. Anybody can choose any.",
    }),
    address: z.string().optional(),
    credential: AuditCredential.optional(),
    permissions: z.array(z.string()).optional(),
    roles: z.array(z.string()).optional(),
    grants: z.array(GrantView).optional(),
    deliverSecrets: z.boolean().optional(),
    expiresAt: Timestamp.optional(),
    secret: z.string().optional(),
    secretVersion: z.int().optional(),
    previousVersion: z.int().optional(),
    deliverToJobs: z.boolean().optional().meta({ description: "Whether jobs may be given the value of that version." }),
    matches: z.boolean().optional(),
    comparedWith: z.int().optional(),
    result: z.string().optional(),
    findings: z.array(z.string()).optional(),
    keepVersions: z.int().optional(),
    rotationGraceSeconds: z.int().optional(),
    via: z.string().optional(),
    warnings: z.array(z.string()).optional(),
    forced: z.boolean().optional(),
    purged: z.boolean().optional(),
    configVersion: z.int().optional(),
    restoredFrom: z.int().optional(),
    reason: z.string().optional(),
    issuer: z.string().optional(),
    verified: z.boolean().optional().meta({
      description:
        "Whether the signature of a refused ID token was verified; false when the issuer's keys were not held.",
    }),
    unmatched: z
      .array(z.object({ id: z.string(), name: z.string(), failed: z.array(z.string()) }).meta({ id: "UnmatchedRule" }))
      .optional()
      .meta({ description: "Trust rules for the issuer and audience of the token, and the conditions that failed." }),
    registry: z.string().optional(),
    registryType: z.string().optional(),
    host: z.string().optional(),
    entry: z.string().optional(),
    principal: z.string().optional().meta({
      description:
        "Of an entry without a secret: the role, client id, service account or provider that trusts the factory.",
    }),
    kind: z.string().optional(),
    repositories: z.array(z.string()).optional(),
    repository: z.string().optional(),
    reference: z.string().optional().meta({ description: "The tag, or the digest, that a manifest was asked for by." }),
    digest: z.string().optional(),
    of: PulledThing.optional(),
    scopeEnforcedBy: z.string().optional(),
    scopeVerified: z.boolean().optional().meta({
      description: "With `scopeEnforcedBy: registry`: whether the token itself said what it was granted.",
    }),
    cached: z.boolean().optional(),
    repeated: z.boolean().optional(),
    accessKeyId: z.string().optional(),
    raw: z.boolean().optional(),
    evidence: AuditEvidence.optional(),
    rule: AuditCredential.optional(),
    version: z.int().optional(),
    authority: AuditCredential.optional(),
    fingerprint: z.string().optional(),
    denialId: z.string().optional(),
    deviceId: z.string().optional(),
    serial: z.string().optional(),
    secretId: z.string().optional(),
    keyId: z.string().optional(),
    previousKeyId: z.string().optional(),
    dataKeyId: z.string().optional(),
    source: z.string().optional(),
    purpose: z.string().optional(),
    alg: z.string().optional(),
    code: z.string().optional(),
    route: z.string().optional(),
    count: z.int().optional(),
    before: Timestamp.optional(),
    madeAt: Timestamp.optional(),
    sha256: z.string().optional(),
    damaged: z.literal(true).optional().meta({
      description:
        "The service does not write such bytes: somebody altered the database. What is shown comes from the columns beside them.",
    }),
  })
  .meta({ id: "AuditEvent", description: "What happened. Holds names and ids, never a value." });

export const AuditEventList = z
  .object({ items: z.array(AuditEvent), nextPageToken: NextPageToken })
  .meta({ id: "AuditEventList" });
