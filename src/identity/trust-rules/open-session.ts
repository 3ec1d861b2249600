import { randomUUID } from "node:crypto";
import {
  type AuditRow,
  type AuditWriter,
  auditInsert,
  auditRecordset,
  auditSelect,
  type RequestedBy,
} from "../../audit/record.js";
import { type Actor, actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Permission } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { invalidCredential } from "../invalid-credential.js";
import type { VerifiedIdToken } from "./judge-workload.js";
import { deleteExpiredTokenIds } from "./verify-id-token.js";
import type { Workloads } from "./workloads.js";

/** Counts each session that is asked for. @throws Problem `too-many-requests` */
export type SessionRequests = { count(caller: Pick<Caller, "kind" | "id" | "actorId" | "name">): void };

type Deps = { prisma: PrismaClient; audit: AuditWriter; workloads: Workloads; sessionRequests: SessionRequests };

/** A session that was opened: whoever has an access token for it is the workload. */
export type OpenedSession = {
  credentialId: string;
  factory: FactoryRef;
  expiresAt: Date;
  permissions: ReadonlySet<Permission>;
};

/** As long as an access token. A job that goes on for longer asks its issuer for another ID token. */
const sessionSeconds = 900;
/** A change in every round trip, five times in a row. */
const maxRounds = 5;

/**
 * Opens a session for an ID token (RFC 8693, token exchange). It does not end with the ID token, which often lives for
 * five minutes; it does end, at once, with the rules that let it in: they are looked at again whenever it is used.
 * @param input - `factory`: the name that the request says
 * @throws Problem `unauthenticated` as any other use of the token would; `too-many-requests`
 */
export async function openSession(
  deps: Deps,
  input: { token: string; factory: string; requested: RequestedBy },
): Promise<OpenedSession> {
  const { verified, ...admitted } = await deps.workloads.admit(input.token, input.factory, input.requested);
  let { caller } = admitted;
  deps.sessionRequests.count(caller);
  for (let round = 0; round < maxRounds; round += 1) {
    const opened = await open(deps, caller, verified, input.requested);
    if (opened) return opened;
    caller = await deps.workloads.readAgain(caller);
  }
  throw new Problem("conflict", "The factory keeps changing. Ask again.", { retryAfterSeconds: 1 });
}

async function open(
  deps: Deps,
  caller: Caller,
  verified: VerifiedIdToken,
  requested: RequestedBy,
): Promise<OpenedSession | undefined> {
  const { factory, name, evidence, permissions, generation } = caller;
  if (!factory) throw invalidCredential("no-factory");
  const id = randomUUID();
  const createdAt = databaseNow();
  const seconds = Math.min(sessionSeconds, caller.maxTtlSeconds ?? sessionSeconds);
  const expiresAt = new Date(createdAt.getTime() + seconds * 1_000);
  const createdBy = actorOf(caller);
  const audit = deps.audit.row({
    at: createdAt,
    outcome: "allowed",
    actor: createdBy,
    factory,
    ...requested,
    body: {
      action: "session.opened",
      credential: { id, name },
      expiresAt: expiresAt.toISOString(),
      ...(evidence && { evidence }),
    },
  });
  const session = { id, factoryId: factory.id, generation, name, evidence: verified, createdAt, createdBy, expiresAt };
  return (await insertSession(deps.prisma, session, audit))
    ? { credentialId: id, factory, expiresAt, permissions }
    : undefined;
}

/** Forgets sessions, and ids of tokens, that have expired. */
export async function sweepWorkloads({ prisma }: Pick<Deps, "prisma">): Promise<void> {
  await deleteExpiredSessions(prisma);
  await deleteExpiredTokenIds(prisma);
}

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
