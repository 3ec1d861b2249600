import type { z } from "zod";
import { type DeviceAuthority, DevicePolicy, type RevocationListView } from "./contract.js";
import { readAuthority } from "./read-authority.js";
import type { RevocationList } from "./revocation-list.js";
import type { AuthorityRow } from "./store.js";

/**
 * An authority as replies show it.
 * @throws Error when what is stored cannot be read: it could when it was stored
 */
export function authorityView(row: Omit<AuthorityRow, "revocationLists">): z.input<typeof DeviceAuthority> {
  const authority = readAuthority(row.certificates);
  if (!authority) throw new Error("a stored device authority cannot be read");
  const { grants, maxTtlSeconds, allowStaleRevocationLists } = DevicePolicy.parse(row.policy);
  return {
    id: row.id,
    name: row.name,
    fingerprint: authority.root.fingerprint,
    subject: authority.root.subject,
    expiresAt: authority.root.notAfter.toISOString(),
    policy: {
      ...(grants && { grants }),
      ...(maxTtlSeconds !== undefined && { maxTtlSeconds }),
      ...(allowStaleRevocationLists !== undefined && { allowStaleRevocationLists }),
    },
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    createdBy: row.createdByName,
  };
}

export function revocationListView(list: RevocationList): z.input<typeof RevocationListView> {
  return {
    issuer: list.issuer,
    number: list.number.toString(),
    thisUpdate: list.thisUpdate.toISOString(),
    nextUpdate: list.nextUpdate.toISOString(),
    revoked: list.revoked.size,
  };
}
