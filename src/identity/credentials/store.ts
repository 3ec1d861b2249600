import { type AuditRow, auditInsert, auditRecordset, auditSelect } from "../../audit/record.js";
import type { Actor, CredentialKind } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Grant } from "../../core/grant.js";
import type { Permission, Role } from "../../core/permissions.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { olderThan, type PageStart } from "../../http/page.js";

export type NewCredential = {
  id: string;
  kind: CredentialKind;
  factoryId: string | undefined;
  /** Withdrawn together with this one. */
  parentId: string | undefined;
  name: string;
  tokenHash: Buffer;
  permissions: readonly Permission[];
  roles: readonly Role[];
  grants: readonly Grant[] | undefined;
  /** Whether it gets the values of secrets that are flagged for delivery to jobs. */
  deliverSecrets?: boolean | undefined;
  createdAt: Date;
  createdBy: Actor;
  expiresAt: Date | undefined;
};

/**
 * Writes a credential and its audit row in one statement, if its maker still lives.
 * @returns false when the maker was withdrawn in the meantime: nothing was written
 */
export async function insertCredential(
  prisma: PrismaClient,
  credential: NewCredential,
  makerId: string | undefined,
  audit: AuditRow,
): Promise<boolean> {
  // The lock on the maker's row makes a withdrawal wait for this, and this for a withdrawal.
  const sql = `/* insert-credential */ WITH maker AS MATERIALIZED (
      SELECT id FROM credentials WHERE id = $1::uuid AND revoked_at IS NULL FOR SHARE
    ), made AS (
      INSERT INTO credentials (id, kind, factory_id, parent_id, name, token_hash, permissions, grants, created_at,
                               created_by_kind, created_by_id, created_by_name, expires_at, roles, deliver_secrets)
      SELECT $2::uuid, $3::text, $4::uuid, $5::uuid, $6::text, $7::bytea, $8::text[], $9::jsonb, $10::timestamptz,
             $11::text, $12::text, $13::text, $14::timestamptz, $15::text[], $17::bool
      WHERE $1::uuid IS NULL OR EXISTS (SELECT FROM maker)
      RETURNING id
    ), audited AS (
      ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($16::jsonb) AS row(${auditRecordset})
      WHERE EXISTS (SELECT FROM made)
    )
    SELECT id FROM made`;
  const made = await prisma.$queryRawUnsafe<unknown[]>(
    sql,
    makerId ?? null,
    credential.id,
    credential.kind,
    credential.factoryId ?? null,
    credential.parentId ?? null,
    credential.name,
    credential.tokenHash,
    [...credential.permissions],
    credential.grants ? JSON.stringify(credential.grants) : null,
    credential.createdAt.toISOString(),
    credential.createdBy.kind,
    credential.createdBy.id,
    credential.createdBy.name,
    credential.expiresAt?.toISOString() ?? null,
    [...credential.roles],
    JSON.stringify([audit]),
    credential.deliverSecrets ?? false,
  );
  return made.length === 1;
}

/**
 * Withdraws a credential and everything derived from it. Every replica notices by the rows themselves (`Withdrawals`): no
 * generation is raised, and nothing shared is locked unless it could act as an operator or admin.
 * @returns its name, whether it could still act as an admin, and the ids that were withdrawn; `undefined` when there was
 * no such credential that no one has withdrawn
 */
export async function revokeFamily(
  transaction: Transaction,
  target: { id: string; kind: CredentialKind; factoryId: string | undefined },
): Promise<{ name: string; wasAdmin: boolean; withdrawn: string[] } | undefined> {
  // In a statement of its own: it waits for those that are opening something with this credential, and the next one
  // sees what they wrote. A single statement would look for the family as it was before the wait.
  const [locked] = await transaction.$queryRawUnsafe<{ name: string; was_admin: boolean }[]>(
    `SELECT name, 'admin' = ANY (roles) AND (expires_at IS NULL OR expires_at > now()) AS was_admin
     FROM credentials
     WHERE id = $1::uuid AND kind = $2::text AND factory_id IS NOT DISTINCT FROM $3::uuid AND revoked_at IS NULL
     FOR UPDATE`,
    target.id,
    target.kind,
    target.factoryId ?? null,
  );
  if (!locked) return undefined;
  // As often as it finds some: it waits for those that open something with a member, and cannot see that yet.
  const withdrawn: string[] = [];
  let revoked: { id: string }[];
  do {
    revoked = await transaction.$queryRawUnsafe<{ id: string }[]>(
      `WITH RECURSIVE family AS (
         SELECT $1::uuid AS id UNION SELECT c.id FROM credentials c JOIN family ON c.parent_id = family.id
       )
       UPDATE credentials SET revoked_at = now() WHERE id IN (SELECT id FROM family) AND revoked_at IS NULL
       RETURNING id`,
      target.id,
    );
    withdrawn.push(...revoked.map(({ id }) => id));
  } while (revoked.length > 0);
  return { name: locked.name, wasAdmin: locked.was_admin, withdrawn };
}

/** Lets one transaction at a time withdraw operator tokens: two must not each see the other's token as the one left. */
export async function takeTurnOfOperators(transaction: Transaction): Promise<void> {
  await transaction.$queryRawUnsafe("SELECT id FROM installation FOR NO KEY UPDATE");
}

/** The same for the admins of a factory. */
export async function takeTurnOfAdmins(transaction: Transaction, factoryId: string): Promise<void> {
  await transaction.$queryRawUnsafe("SELECT id FROM factories WHERE id = $1::uuid FOR NO KEY UPDATE", factoryId);
}

/** How many operator tokens live. Call it after `takeTurnOfOperators`, in the same transaction. */
export async function countOperators(transaction: Transaction): Promise<number> {
  return transaction.credential.count({ where: { kind: "operator", revokedAt: null } });
}

/** How many credentials of a factory still work as its admins. Call it after `takeTurnOfAdmins`, in the same transaction. */
export async function countAdmins(transaction: Transaction, factoryId: string): Promise<number> {
  return transaction.credential.count({
    where: {
      factoryId,
      kind: { in: ["api-token", "oauth-client"] },
      roles: { has: "admin" },
      revokedAt: null,
      OR: [{ expiresAt: null }, { expiresAt: { gt: databaseNow() } }],
    },
  });
}

const listed = {
  id: true,
  name: true,
  permissions: true,
  roles: true,
  grants: true,
  deliverSecrets: true,
  createdAt: true,
  createdByName: true,
  expiresAt: true,
  revokedAt: true,
} as const;

/** Credentials of one kind that still work, newest first; one more than the page has. */
export async function listCredentials(
  prisma: PrismaClient,
  input: { kind: CredentialKind; factoryId: string | null; page: PageStart; now: Date },
) {
  return prisma.credential.findMany({
    select: listed,
    where: {
      kind: input.kind,
      factoryId: input.factoryId,
      revokedAt: null,
      OR: [{ expiresAt: null }, { expiresAt: { gt: input.now } }],
      AND: olderThan(input.page.after),
    },
    orderBy: [{ createdAt: "desc" }, { id: "desc" }],
    take: input.page.size + 1,
  });
}

/** How many bytes the grants of the jobs are that `listCredentials` gives for this page. */
export async function weighJobs(
  prisma: PrismaClient,
  { factoryId, page, now }: { factoryId: string; page: PageStart; now: Date },
): Promise<number[]> {
  const [time, id] = page.after ?? [];
  const rows = await prisma.$queryRawUnsafe<{ bytes: number }[]>(
    `SELECT coalesce(octet_length(grants::text), 0) AS bytes FROM credentials
     WHERE kind = 'job' AND factory_id = $1::uuid AND revoked_at IS NULL
       AND (expires_at IS NULL OR expires_at > $2::timestamptz)
       AND ($3::timestamptz IS NULL OR (created_at, id) < ($3::timestamptz, $4::uuid))
     ORDER BY created_at DESC, id DESC LIMIT $5`,
    factoryId,
    now.toISOString(),
    time ?? null,
    id ?? null,
    page.size + 1,
  );
  return rows.map(({ bytes }) => bytes);
}

/** One credential, whether it still works or not. */
export async function findCredential(prisma: PrismaClient, id: string, kind: CredentialKind, factoryId: string) {
  return prisma.credential.findFirst({ select: listed, where: { id, kind, factoryId } });
}

/** Forgets jobs that expired `keepSeconds` ago: a busy factory opens thousands a day. The audit keeps their story. */
export async function deleteOldJobs(prisma: PrismaClient, keepSeconds: number): Promise<number> {
  return prisma.$executeRawUnsafe(
    "DELETE FROM credentials WHERE kind = 'job' AND expires_at < now() - make_interval(secs => $1::float8)",
    keepSeconds,
  );
}
