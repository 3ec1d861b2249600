import { z } from "zod";
import { Grant } from "../../core/grant.js";
import { isPermission, isRole } from "../../core/permissions.js";
import type { ApiToken, Job, OperatorToken } from "../contract.js";

/** A credential as the store lists it. */
type Row = {
  id: string;
  name: string;
  permissions: string[];
  roles: string[];
  grants: unknown;
  deliverSecrets: boolean;
  createdAt: Date;
  createdByName: string;
  expiresAt: Date | null;
  revokedAt: Date | null;
};

export function operatorTokenView(row: Row): z.input<typeof OperatorToken> {
  return { id: row.id, name: row.name, createdAt: row.createdAt.toISOString() };
}

export function apiTokenView(row: Row): z.input<typeof ApiToken> {
  const roles = row.roles.filter(isRole);
  return {
    id: row.id,
    name: row.name,
    permissions: row.permissions.filter(isPermission),
    ...(roles.length > 0 && { roles }),
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdByName,
    ...(row.expiresAt && { expiresAt: row.expiresAt.toISOString() }),
  };
}

export function jobView(row: Row, now: Date): z.input<typeof Job> {
  // Every job has an expiry; only the column, shared with other credentials, allows none.
  const expiresAt = row.expiresAt ?? row.createdAt;
  return {
    id: row.id,
    name: row.name,
    state: row.revokedAt ? "ended" : expiresAt <= now ? "expired" : "running",
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdByName,
    expiresAt: expiresAt.toISOString(),
    ...(row.grants !== null && { grants: z.array(Grant).parse(row.grants) }),
    deliverSecrets: row.deliverSecrets,
  };
}
