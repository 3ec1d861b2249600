import { type AuditRow, auditInsert, auditRecordset, auditSelect } from "../../../audit/record.js";
import type { Actor } from "../../../core/caller.js";
import type { PrismaClient } from "../../../db/database.js";

export type NewSession = {
  id: string;
  factoryId: string;
  /** Under which alone it is written: the one whose rules let the workload in. */
  generation: bigint;
  name: string;
  /** What the ID token said, for the rules of later. */
  evidence: object;
  createdAt: Date;
  createdBy: Actor;
  expiresAt: Date;
};

/**
 * Writes a session and its audit row in one statement, if the factory still has the generation.
 * @returns false when it has another: nothing was written
 */
export async function insertSession(prisma: PrismaClient, session: NewSession, audit: AuditRow): Promise<boolean> {
  const sql = `/* insert-oidc-session */ WITH made AS (
      INSERT INTO credentials (id, kind, factory_id, name, permissions, evidence, created_at,
                               created_by_kind, created_by_id, created_by_name, expires_at)
      SELECT $1::uuid, 'oidc-session', f.id, $4::text, ARRAY['registry-tokens:issue'], $5::jsonb, $6::timestamptz,
             $7::text, $8::text, $9::text, $10::timestamptz
      FROM factories f WHERE f.id = $2::uuid AND f.generation = $3::bigint AND f.deleted_at IS NULL
      RETURNING id
    ), audited AS (
      ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($11::jsonb) AS row(${auditRecordset})
      WHERE EXISTS (SELECT FROM made)
    )
    SELECT id FROM made`;
  const made = await prisma.$queryRawUnsafe<unknown[]>(
    sql,
    session.id,
    session.factoryId,
    String(session.generation),
    session.name,
    JSON.stringify(session.evidence),
    session.createdAt.toISOString(),
    session.createdBy.kind,
    session.createdBy.id,
    session.createdBy.name,
    session.expiresAt.toISOString(),
    JSON.stringify([audit]),
  );
  return made.length === 1;
}

/** Forgets sessions that have expired: each job makes one. The audit keeps their story. */
export async function deleteExpiredSessions(prisma: PrismaClient): Promise<number> {
  return prisma.$executeRawUnsafe("DELETE FROM credentials WHERE kind = 'oidc-session' AND expires_at < now()");
}
