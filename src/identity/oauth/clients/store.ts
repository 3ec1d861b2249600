import { type AuditRow, auditInsert, auditRecordset, auditSelect } from "../../../audit/record.js";
import type { Actor, FactoryRef } from "../../../core/caller.js";
import { isPermission, type Permission, type Role } from "../../../core/permissions.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";
import { olderThan, type PageStart } from "../../../http/page.js";

export type NewClient = {
  id: string;
  factoryId: string;
  name: string;
  permissions: readonly Permission[];
  roles: readonly Role[];
  createdAt: Date;
  createdBy: Actor;
  expiresAt: Date | undefined;
  secret: { id: string; hash: Buffer };
};

/**
 * Writes a client, its first secret and the audit row in one statement, if the client's maker still lives.
 * @returns false when the maker was withdrawn in the meantime: nothing was written
 */
export async function insertClient(
  prisma: PrismaClient,
  client: NewClient,
  makerId: string,
  audit: AuditRow,
): Promise<boolean> {
  const sql = `/* insert-oauth-client */ WITH maker AS MATERIALIZED (
      SELECT id FROM credentials WHERE id = $1::uuid AND revoked_at IS NULL FOR SHARE
    ), made AS (
      INSERT INTO credentials (id, kind, factory_id, name, permissions, roles, created_at, created_by_kind,
                               created_by_id, created_by_name, expires_at)
      SELECT $2::uuid, 'oauth-client', $3::uuid, $4::text, $5::text[], $6::text[], $7::timestamptz, $8::text, $9::text,
             $10::text, $11::timestamptz
      FROM maker
      RETURNING id, created_at
    ), secret AS (
      INSERT INTO oauth_client_secrets (id, credential_id, secret_hash, created_at)
      SELECT $12::uuid, id, $13::bytea, created_at FROM made
    ), audited AS (
      ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($14::jsonb) AS row(${auditRecordset})
      WHERE EXISTS (SELECT FROM made)
    )
    SELECT id FROM made`;
  const made = await prisma.$queryRawUnsafe<unknown[]>(
    sql,
    makerId,
    client.id,
    client.factoryId,
    client.name,
    [...client.permissions],
    [...client.roles],
    client.createdAt.toISOString(),
    client.createdBy.kind,
    client.createdBy.id,
    client.createdBy.name,
    client.expiresAt?.toISOString() ?? null,
    client.secret.id,
    client.secret.hash,
    JSON.stringify([audit]),
  );
  return made.length === 1;
}

const listed = {
  id: true,
  name: true,
  permissions: true,
  roles: true,
  createdAt: true,
  createdByName: true,
  expiresAt: true,
  secrets: { select: { id: true, createdAt: true }, orderBy: { createdAt: "asc" } },
} as const;

const live = (factoryId: string, now: Date) => ({
  kind: "oauth-client",
  factoryId,
  revokedAt: null,
  OR: [{ expiresAt: null }, { expiresAt: { gt: now } }],
});

/** Clients that still work, newest first; one more than the page has. */
export async function listClients(prisma: PrismaClient, input: { factoryId: string; page: PageStart; now: Date }) {
  return prisma.credential.findMany({
    select: listed,
    where: { ...live(input.factoryId, input.now), AND: olderThan(input.page.after) },
    orderBy: [{ createdAt: "desc" }, { id: "desc" }],
    take: input.page.size + 1,
  });
}

/** One client that still works. */
export async function findClient(prisma: PrismaClient, input: { id: string; factoryId: string; now: Date }) {
  return prisma.credential.findFirst({ select: listed, where: { id: input.id, ...live(input.factoryId, input.now) } });
}

/** A client that still works, locked until the transaction ends, with the ids of its secrets. */
export async function lockClient(
  transaction: Transaction,
  target: { id: string; factoryId: string },
): Promise<{ name: string; permissions: Permission[]; expiresAt: Date | undefined; secretIds: string[] } | undefined> {
  const [row] = await transaction.$queryRawUnsafe<{ name: string; permissions: string[]; expires_at: Date | null }[]>(
    `SELECT name, permissions, expires_at FROM credentials
     WHERE id = $1::uuid AND kind = 'oauth-client' AND factory_id = $2::uuid AND revoked_at IS NULL
       AND (expires_at IS NULL OR expires_at > now())
     FOR UPDATE`,
    target.id,
    target.factoryId,
  );
  if (!row) return undefined;
  // In a statement of its own: it sees what was written by those that the lock has waited for.
  const secrets = await transaction.oAuthClientSecret.findMany({
    select: { id: true },
    where: { credentialId: target.id },
  });
  return {
    name: row.name,
    permissions: row.permissions.filter(isPermission),
    expiresAt: row.expires_at ?? undefined,
    secretIds: secrets.map(({ id }) => id),
  };
}

export async function insertSecret(
  transaction: Transaction,
  secret: { id: string; clientId: string; hash: Buffer; createdAt: Date },
): Promise<void> {
  const { id, clientId, hash, createdAt } = secret;
  await transaction.oAuthClientSecret.create({
    data: { id, credentialId: clientId, secretHash: Uint8Array.from(hash), createdAt },
  });
}

export async function deleteSecret(transaction: Transaction, id: string): Promise<void> {
  await transaction.oAuthClientSecret.delete({ where: { id } });
}

/** A client that has proved itself by one of its secrets. */
export type ProvenClient = {
  id: string;
  name: string;
  factory: FactoryRef;
  permissions: readonly Permission[];
  expiresAt: Date | undefined;
  secretId: string;
};

type ProvenRow = {
  id: string;
  name: string;
  permissions: string[];
  expires_at: Date | null;
  factory_id: string;
  factory_name: string;
  secret_id: string;
};

/** The client that still works and has this id and a secret with this hash. */
export async function findProvenClient(
  prisma: PrismaClient,
  id: string,
  secretHash: Buffer,
): Promise<ProvenClient | undefined> {
  const [row] = await prisma.$queryRawUnsafe<ProvenRow[]>(
    `/* proven-oauth-client */
     SELECT c.id, c.name, c.permissions, c.expires_at, f.id AS factory_id, f.name AS factory_name, s.id AS secret_id
     FROM oauth_client_secrets s JOIN credentials c ON c.id = s.credential_id JOIN factories f ON f.id = c.factory_id
     WHERE s.secret_hash = $1::bytea AND c.id = $2::uuid AND c.kind = 'oauth-client' AND c.revoked_at IS NULL
       AND f.deleted_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())`,
    secretHash,
    id,
  );
  return (
    row && {
      id: row.id,
      name: row.name,
      factory: { id: row.factory_id, name: row.factory_name },
      permissions: row.permissions.filter(isPermission),
      expiresAt: row.expires_at ?? undefined,
      secretId: row.secret_id,
    }
  );
}
