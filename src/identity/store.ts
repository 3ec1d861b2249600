import { z } from "zod";
import type { Caller, CallerKind } from "../core/caller.js";
import { Grant } from "../core/grant.js";
import { isPermission, type Permission, permissions } from "../core/permissions.js";
import type { PrismaClient } from "../db/database.js";

/**
 * A credential as it was read. `scopeId` is whose generation the caller carries: its factory's, or the installation's.
 * `evidence` is what a workload's ID token said when its session began: the rules of today decide what that is worth.
 * `tokenExpiresAt`: of the access token; the session, and what is made with it, lives on.
 */
export type StoredCaller = { caller: Caller; scopeId: string; evidence?: unknown; tokenExpiresAt?: Date };

type CredentialRow = {
  id: string;
  kind: string;
  parent_id: string | null;
  name: string;
  permissions: string[];
  grants: unknown;
  evidence: unknown;
  deliver_secrets: boolean;
  expires_at: Date | null;
  factory_id: string | null;
  factory_name: string | null;
  scope_id: string;
  generation: bigint;
};

const selectCaller = `
  SELECT c.id, c.kind, c.parent_id, c.name, c.permissions, c.grants, c.evidence, c.deliver_secrets, c.expires_at, f.id AS factory_id, f.name AS factory_name,
         COALESCE(f.id, i.id) AS scope_id, COALESCE(f.generation, i.generation) AS generation
  FROM credentials c CROSS JOIN installation i LEFT JOIN factories f ON f.id = c.factory_id
  WHERE c.revoked_at IS NULL AND f.deleted_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())`;

/** The live credential with this hash, if there is one. */
export async function findCallerByHash(prisma: PrismaClient, tokenHash: Buffer): Promise<StoredCaller | undefined> {
  const sql = `/* caller-by-hash */ ${selectCaller} AND c.token_hash = $1`;
  return callerOf(await prisma.$queryRawUnsafe<CredentialRow[]>(sql, tokenHash));
}

/** The live credential with this id, if there is one. */
export async function findCallerById(prisma: PrismaClient, id: string): Promise<StoredCaller | undefined> {
  const sql = `/* caller-by-id */ ${selectCaller} AND c.id = $1::uuid`;
  return callerOf(await prisma.$queryRawUnsafe<CredentialRow[]>(sql, id));
}

/** Whether there is a credential with this hash, live or not. */
export async function isStoredToken(prisma: PrismaClient, tokenHash: Buffer): Promise<boolean> {
  const sql = "/* is-stored-token */ SELECT id FROM credentials WHERE token_hash = $1";
  return (await prisma.$queryRawUnsafe<unknown[]>(sql, tokenHash)).length > 0;
}

function callerOf(rows: readonly CredentialRow[]): StoredCaller | undefined {
  const row = rows[0];
  const kind = row && kindOf(row.kind);
  if (!row || !kind) return undefined;
  const caller: Caller = {
    kind,
    id: row.id,
    name: row.name,
    credentialId: row.id,
    ...(row.kind === "oauth-session" && row.parent_id && { actorId: row.parent_id }),
    permissions: permissionsOf(kind, row.permissions),
    ...(row.factory_id && row.factory_name && { factory: { id: row.factory_id, name: row.factory_name } }),
    ...(row.grants !== null && { grants: z.array(Grant).parse(row.grants) }),
    ...(row.deliver_secrets && { deliverSecrets: true as const }),
    ...(row.expires_at && { expiresAt: row.expires_at }),
    generation: row.generation,
  };
  return { caller, scopeId: row.scope_id, ...(row.evidence !== null && { evidence: row.evidence }) };
}

const kinds: Readonly<Record<string, CallerKind>> = {
  operator: "operator",
  "api-token": "api-token",
  job: "job",
  "oauth-session": "oauth-client",
  "oidc-session": "oidc",
};

// An OAuth client itself never calls: it has secrets, and gets sessions for them.
function kindOf(text: string): CallerKind | undefined {
  return Object.hasOwn(kinds, text) ? kinds[text] : undefined;
}

function permissionsOf(kind: CallerKind, stored: readonly string[]): ReadonlySet<Permission> {
  switch (kind) {
    case "operator":
      return new Set(permissions);
    case "api-token":
    case "oauth-client":
      return new Set(stored.filter(isPermission));
    case "job":
    case "oidc":
    case "device":
      return new Set<Permission>(["registry-tokens:issue"]);
    default:
      return kind satisfies never;
  }
}
