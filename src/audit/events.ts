import type { Actor, Evidence, FactoryRef } from "../core/caller.js";
import type { Grant } from "../core/grant.js";

type CredentialRef = { id: string; name: string };

/** Everything that can happen. The union is closed: an event that is not here cannot be written. */
export type EventBody =
  | { action: "operator-token.created" | "operator-token.revoked"; credential: CredentialRef }
  | { action: "factory.created" | "factory.deleted" }
  | {
      action: "api-token.created" | "oauth-client.created";
      credential: CredentialRef;
      permissions: readonly string[];
      roles?: readonly string[];
      expiresAt?: string;
    }
  | { action: "oauth-client.revoked"; credential: CredentialRef }
  | { action: "oauth-client.secret-added" | "oauth-client.secret-removed"; credential: CredentialRef; secretId: string }
  | { action: "session.opened"; credential: CredentialRef; evidence?: Evidence; expiresAt: string }
  | { action: "session.refreshed"; credential: CredentialRef }
  | { action: "session.revoked"; credential: CredentialRef; reason: "refresh-token-reused" }
  | {
      action: "signing-key.created" | "signing-key.announced" | "signing-key.replaced";
      keyId: string;
      purpose: string;
      alg: string;
    }
  | { action: "key.added"; keyId: string; source: string }
  | { action: "key.activated"; keyId: string; previousKeyId: string }
  | { action: "key.retired"; keyId: string }
  | { action: "key.rewrap-started"; keyId: string }
  | { action: "key.rewrapped"; keyId: string; count: number }
  | { action: "data-key.replaced"; dataKeyId: string; keyId: string }
  | { action: "data-key.reseal-started" }
  | { action: "data-key.resealed"; count: number }
  | { action: "audit.pruned"; before: string; count: number }
  | { action: "backup.made"; madeAt: string; sha256: string }
  | { action: "backup.restored"; madeAt: string; sha256: string; count: number }
  | { action: "trust-rule.created" | "trust-rule.updated" | "trust-rule.deleted"; rule: CredentialRef; version: number }
  | {
      action: "device-authority.created" | "device-authority.updated" | "device-authority.deleted";
      authority: CredentialRef;
      fingerprint: string;
    }
  | { action: "device.denied" | "device.allowed-again"; denialId: string; deviceId?: string; serial?: string }
  | {
      action: "device.refused";
      reason: string;
      deviceId?: string;
      serial?: string;
      authority?: CredentialRef;
      count?: number;
    }
  | { action: "api-token.revoked"; credential: CredentialRef }
  | {
      action: "job.opened";
      credential: CredentialRef;
      grants?: readonly Grant[];
      deliverSecrets?: true;
      expiresAt: string;
    }
  | { action: "job.ended"; credential: CredentialRef }
  | { action: "job.aws-keys-made"; credential: CredentialRef; entry: string; accessKeyId: string }
  | {
      action: "secret.written" | "secret.staged";
      secret: string;
      secretVersion: number;
      via: "api" | "fioctl";
      deliverToJobs: boolean;
      restoredFrom?: number;
      warnings?: readonly string[];
    }
  | { action: "secret.deleted"; secret: string; via: "api" | "fioctl"; forced?: true; purged?: true }
  | {
      action: "secret.promoted" | "secret.rolled-back";
      secret: string;
      secretVersion: number;
      previousVersion: number;
      deliverToJobs: boolean;
    }
  | { action: "secret.version-destroyed"; secret: string; secretVersion: number; forced?: true }
  | { action: "secret.undeleted"; secret: string; secretVersion: number; deliverToJobs: boolean }
  | { action: "secret.purged"; secret: string; secretVersion: number }
  | { action: "secret.verified"; secret: string; secretVersion: number; matches: boolean }
  | {
      action: "secret.examined";
      secret: string;
      secretVersion: number;
      /** The current version, when it was opened too. */
      comparedWith?: number;
      result: "ok" | "warning" | "failed" | "unknown";
      findings: readonly string[];
    }
  | { action: "factory.settings-changed"; keepVersions: number; rotationGraceSeconds: number }
  | { action: "secret.delivered"; secret: string; secretVersion: number; evidence?: Evidence }
  | { action: "secret.open-failed"; secret: string; secretVersion: number; count?: number }
  | { action: "config.published"; configVersion: number; reason?: string; restoredFrom?: number }
  | { action: "destination.approved"; secret: string; registryType: string; host: string; configVersion: number }
  | ({ action: "registry-token.issued"; kind: "password" | "bearer"; raw?: true } & IssuedFacts)
  | ({ action: "aws-credentials.issued" } & IssuedFacts)
  | ({ action: "registry-token.refreshed" | "aws-credentials.refreshed" } & TokenFacts)
  | ({ action: "registry-token.failed" | "aws-credentials.failed"; code: string; count?: number } & TokenFacts)
  | ({ action: "image.pulled"; reference?: string; digest: string; evidence?: Evidence } & RelayedFacts)
  | ({ action: "image.looked-up"; of: "manifest" | "tags" | "referrers"; count?: number } & RelayedFacts)
  | { action: "request.refused"; route: string; code: string; count?: number }
  | {
      /** An ID token of an issuer and audience that the factory trusts, which no rule of the factory takes. */
      action: "workload.refused";
      issuer: string;
      reason: string;
      /** Whether its signature was: not where the issuer's keys were not held, for it is not asked because of this. */
      verified: boolean;
      /** The rules for that issuer and audience, each with the names of the conditions that failed. */
      unmatched: readonly { id: string; name: string; failed: readonly string[] }[];
      count?: number;
    }
  | { action: "authentication.refused"; count: number }
  | {
      /** The relay was sent something that is not what its digest says, and cut it off. */
      action: "image.digest-wrong";
      of: "blob" | "manifest";
      registry: string;
      entry: string;
      repository: string;
      digest: string;
      count?: number;
    };

/** How a program asked that speaks AWS's protocols. */
export type AwsWire = "ecr-api" | "container-credentials" | "iot-credentials";

/** What is handed out, and how it came to be. */
export type IssuedFacts = TokenFacts & {
  scopeEnforcedBy: "iam-session-policy" | "registry" | "none";
  scopeVerified?: boolean;
  expiresAt: string;
  cached: boolean;
  via?: AwsWire;
  /** The same signed request had come before: a client that tries again. */
  repeated?: true;
  evidence?: Evidence;
};

/** What was pulled through the relay, and what opened its registry. */
type RelayedFacts = { registry: string; entry: string; repository: string } & OpenedBy;

type OpenedBy = { secret: string; secretVersion: number } | { principal: string };

type TokenFacts = {
  registry: string;
  entry: string;
  repositories?: readonly string[];
} & OpenedBy;

/** Every action, as a table that the compiler compares with the union: an event must be searchable by its name. */
const actions: Readonly<Record<EventBody["action"], true>> = {
  "operator-token.created": true,
  "operator-token.revoked": true,
  "factory.created": true,
  "factory.deleted": true,
  "api-token.created": true,
  "oauth-client.created": true,
  "oauth-client.revoked": true,
  "oauth-client.secret-added": true,
  "oauth-client.secret-removed": true,
  "session.opened": true,
  "session.refreshed": true,
  "session.revoked": true,
  "signing-key.created": true,
  "signing-key.announced": true,
  "signing-key.replaced": true,
  "key.added": true,
  "key.activated": true,
  "key.retired": true,
  "key.rewrap-started": true,
  "key.rewrapped": true,
  "data-key.replaced": true,
  "data-key.reseal-started": true,
  "data-key.resealed": true,
  "audit.pruned": true,
  "backup.made": true,
  "backup.restored": true,
  "trust-rule.created": true,
  "trust-rule.updated": true,
  "trust-rule.deleted": true,
  "device-authority.created": true,
  "device-authority.updated": true,
  "device-authority.deleted": true,
  "device.denied": true,
  "device.allowed-again": true,
  "device.refused": true,
  "api-token.revoked": true,
  "job.opened": true,
  "job.ended": true,
  "job.aws-keys-made": true,
  "secret.written": true,
  "secret.staged": true,
  "secret.deleted": true,
  "secret.promoted": true,
  "secret.rolled-back": true,
  "secret.version-destroyed": true,
  "secret.undeleted": true,
  "secret.purged": true,
  "secret.verified": true,
  "secret.examined": true,
  "factory.settings-changed": true,
  "secret.delivered": true,
  "secret.open-failed": true,
  "config.published": true,
  "destination.approved": true,
  "registry-token.issued": true,
  "aws-credentials.issued": true,
  "registry-token.failed": true,
  "registry-token.refreshed": true,
  "aws-credentials.failed": true,
  "aws-credentials.refreshed": true,
  "image.pulled": true,
  "image.looked-up": true,
  "request.refused": true,
  "workload.refused": true,
  "authentication.refused": true,
  "image.digest-wrong": true,
};

export const eventActions: readonly string[] = Object.keys(actions);

export type AuditEvent = {
  at: Date;
  outcome: "allowed" | "refused" | "failed";
  actor: Actor;
  factory?: FactoryRef;
  requestId?: string;
  /** The client's own `X-Request-Id`. Anybody can choose any: it identifies nothing. */
  clientRequestId?: string;
  address?: string;
  body: EventBody;
};

/**
 * The bytes of an event that the audit keeps and a later seal covers: UTF-8 JSON without white space, members sorted by
 * name at every depth (as RFC 8785 orders them; all our names are ASCII), absent members left out.
 */
export function canonicalBytes(event: AuditEvent): string {
  const { at, outcome, actor, factory, requestId, clientRequestId, address, body } = event;
  const facts = { at: at.toISOString(), outcome, actor, factory, requestId, clientRequestId, address };
  return JSON.stringify(sorted({ ...body, ...facts }));
}

// Runs for every token that is handed out: one pass of JSON.stringify over sorted copies takes half the time of
// putting the text together here. No name of ours looks like a number, which V8 would move to the front.
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const members: Record<string, unknown> = { ...value };
  const result: Record<string, unknown> = {};
  for (const name of Object.keys(members).sort()) result[name] = sorted(members[name]);
  return result;
}
