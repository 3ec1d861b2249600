import { randomUUID } from "node:crypto";
import type { EventBody } from "../../audit/events.js";
import {
  type AuditRow,
  type AuditWriter,
  auditInsert,
  auditRecordset,
  auditSelect,
  type RequestedBy,
} from "../../audit/record.js";
import type { Actor } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { isPermission, type Permission } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { type Withdrawals, withdrawnCredential } from "../../db/withdrawals.js";
import { revokeFamily } from "../credentials/store.js";
import { createToken, hashToken, isWellFormedToken } from "../token.js";
import { invalidClient } from "./authenticate-client.js";
import type { ProvenClient } from "./clients/store.js";
import { deleteRetiredSigningKeys } from "./keys/store.js";
import { reuseSeconds, sessionSeconds } from "./signed-tokens.js";

/** A session of a client, and the token that prolongs it. The token exists only here and in the reply. */
export type ClientSession = {
  credentialId: string;
  permissions: readonly Permission[];
  refreshToken: string;
  expiresAt: Date;
};

/**
 * Opens a session for a client that has proved itself (RFC 6749, section 4.4). It ends with the client.
 * @throws Problem `invalid-client` when the client or its secret was withdrawn meanwhile
 */
export async function openClientSession(
  deps: { prisma: PrismaClient; audit: AuditWriter },
  input: { client: ProvenClient; permissions: readonly Permission[]; requested: RequestedBy },
): Promise<ClientSession> {
  const { client, permissions, requested } = input;
  const id = randomUUID();
  const refreshToken = createToken("refresh-token");
  const createdAt = databaseNow();
  const expiresAt = sessionEnd(client, createdAt);
  const audit = deps.audit.row({
    at: createdAt,
    outcome: "allowed",
    actor: clientActor(client),
    factory: client.factory,
    body: { action: "session.opened", credential: { id, name: client.name }, expiresAt: expiresAt.toISOString() },
    ...requested,
  });
  const session = { id, client, permissions, createdAt, expiresAt, refreshHash: hashToken(refreshToken) };
  if (!(await insertSession(deps.prisma, session, audit))) throw invalidClient();
  return { credentialId: id, permissions, refreshToken, expiresAt };
}

/** When a session that is opened or refreshed now ends: never after its client. */
export function sessionEnd(client: Pick<ProvenClient, "expiresAt">, now: Date): Date {
  const end = new Date(now.getTime() + sessionSeconds * 1000);
  return client.expiresAt && client.expiresAt < end ? client.expiresAt : end;
}

export function clientActor({ id, name }: Pick<ProvenClient, "id" | "name">): Actor {
  return { kind: "oauth-client", id, name };
}

type Deps = { prisma: PrismaClient; audit: AuditWriter; withdrawals: Withdrawals };
type Input = { client: ProvenClient; refreshToken: string; requested: RequestedBy };

const startAnew =
  "Log in anew: with fioctl, delete access_token and refresh_token from fioctl.yaml, then run fioctl login.";

/**
 * Prolongs a session, and gives the next refresh token for the presented one (RFC 6749, section 6; RFC 9700, section
 * 4.14.2). The presented one works for another minute, since two fioctl runs side by side send the same. Whoever sends
 * it later may be a thief, or the owner after one: nobody can tell, so the session ends.
 * @throws Problem `invalid-grant` for a token that is unknown, expired, of another client, or used before
 */
export async function refreshClientSession(deps: Deps, input: Input): Promise<ClientSession> {
  const { client } = input;
  if (!isWellFormedToken(input.refreshToken)) throw notValid();
  const hash = hashToken(input.refreshToken);
  const outcome = await deps.prisma.$transaction(async (transaction) => {
    const presented = await lockRefreshToken(transaction, client.id, hash);
    if (!presented) throw notValid();
    return presented.state === "reused"
      ? { withdrawn: await endSession(deps, transaction, presented, input) }
      : { session: await prolong(deps, transaction, presented, input) };
  });
  if (outcome.session) return outcome.session;
  for (const id of outcome.withdrawn) deps.withdrawals.observe(withdrawnCredential(id));
  throw new Problem(
    "invalid-grant",
    `This refresh token was used before. Someone else may have it, so its session has been ended. ${startAnew}`,
  );
}

async function prolong(
  deps: Deps,
  transaction: Transaction,
  presented: PresentedRefresh,
  input: Input,
): Promise<ClientSession> {
  const refreshToken = createToken("refresh-token");
  const createdAt = databaseNow();
  const expiresAt = sessionEnd(input.client, createdAt);
  await rotateRefreshToken(transaction, presented, { hash: hashToken(refreshToken), createdAt, expiresAt });
  const credential = { id: presented.sessionId, name: input.client.name };
  await deps.audit.writeWith(transaction, [
    { ...eventOf(input, createdAt, { action: "session.refreshed", credential }), outcome: "allowed" },
  ]);
  return { credentialId: presented.sessionId, permissions: presented.permissions, refreshToken, expiresAt };
}

async function endSession(deps: Deps, transaction: Transaction, presented: PresentedRefresh, input: Input) {
  const { client } = input;
  const target = { id: presented.sessionId, kind: "oauth-session", factoryId: client.factory.id } as const;
  const revoked = await revokeFamily(transaction, target);
  const credential = { id: presented.sessionId, name: client.name };
  const body = { action: "session.revoked", credential, reason: "refresh-token-reused" } as const;
  await deps.audit.writeWith(transaction, [{ ...eventOf(input, databaseNow(), body), outcome: "refused" }]);
  return revoked?.withdrawn ?? [];
}

function eventOf({ client, requested }: Input, at: Date, body: EventBody) {
  return { at, actor: clientActor(client), factory: client.factory, body, ...requested };
}

const notValid = (): Problem =>
  new Problem(
    "invalid-grant",
    `This refresh token is not valid: expired, withdrawn, or not this client's. ${startAnew}`,
  );

export type NewSession = {
  id: string;
  client: ProvenClient;
  permissions: readonly Permission[];
  createdAt: Date;
  expiresAt: Date;
  refreshHash: Buffer;
};

/**
 * Writes a session, its refresh token and the audit row in one statement, if the client and the secret that it proved
 * itself by still stand.
 * @returns false when they do not: nothing was written
 */
export async function insertSession(prisma: PrismaClient, session: NewSession, audit: AuditRow): Promise<boolean> {
  // The locks make a withdrawal wait for this, and this for a withdrawal.
  const sql = `/* insert-oauth-session */ WITH client AS MATERIALIZED (
      SELECT c.id, c.name, c.factory_id FROM credentials c JOIN oauth_client_secrets s ON s.credential_id = c.id
      WHERE c.id = $1::uuid AND s.id = $2::uuid AND c.revoked_at IS NULL FOR SHARE OF c, s
    ), made AS (
      INSERT INTO credentials (id, kind, factory_id, parent_id, name, permissions, created_at, created_by_kind,
                               created_by_id, created_by_name, expires_at)
      SELECT $3::uuid, 'oauth-session', factory_id, id, name, $4::text[], $5::timestamptz, 'oauth-client', id::text,
             name, $6::timestamptz
      FROM client
      RETURNING id, created_at, expires_at
    ), refresh AS (
      INSERT INTO refresh_tokens (token_hash, credential_id, created_at, expires_at)
      SELECT $7::bytea, id, created_at, expires_at FROM made
    ), audited AS (
      ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($8::jsonb) AS row(${auditRecordset})
      WHERE EXISTS (SELECT FROM made)
    )
    SELECT id FROM made`;
  const made = await prisma.$queryRawUnsafe<unknown[]>(
    sql,
    session.client.id,
    session.client.secretId,
    session.id,
    [...session.permissions],
    session.createdAt.toISOString(),
    session.expiresAt.toISOString(),
    session.refreshHash,
    JSON.stringify([audit]),
  );
  return made.length === 1;
}

/**
 * What a refresh token is worth: `fresh`, used for the first time; `repeated`, again within a minute of that;
 * `reused`, later.
 */
export type PresentedRefresh = {
  sessionId: string;
  permissions: Permission[];
  state: "fresh" | "repeated" | "reused";
};

type PresentedRow = { is_used: boolean; is_repeated: boolean };

/** Finds the session of this client that a refresh token belongs to, and locks it until the transaction ends. */
export async function lockRefreshToken(
  transaction: Transaction,
  clientId: string,
  tokenHash: Buffer,
): Promise<PresentedRefresh | undefined> {
  // The session alone, which all of its refreshes write: of two that had locked a token each, one would wait for the
  // other's while it holds the session.
  const [session] = await transaction.$queryRawUnsafe<{ id: string; permissions: string[] }[]>(
    `SELECT id, permissions FROM credentials
     WHERE id = (SELECT credential_id FROM refresh_tokens WHERE token_hash = $1::bytea) AND parent_id = $2::uuid
       AND kind = 'oauth-session' AND revoked_at IS NULL AND expires_at > now()
     FOR UPDATE`,
    tokenHash,
    clientId,
  );
  if (!session) return undefined;
  // In a statement of its own: it sees what was written by those that the lock has waited for. The time is that of the
  // database, read after the wait: replicas need not agree about it.
  const [row] = await transaction.$queryRawUnsafe<PresentedRow[]>(
    `SELECT used_at IS NOT NULL AS is_used,
            COALESCE(used_at > clock_timestamp() - make_interval(secs => $2::int), false) AS is_repeated
     FROM refresh_tokens WHERE token_hash = $1::bytea AND expires_at > now()`,
    tokenHash,
    reuseSeconds,
  );
  if (!row) return undefined;
  const state = !row.is_used ? "fresh" : row.is_repeated ? "repeated" : "reused";
  return { sessionId: session.id, permissions: session.permissions.filter(isPermission), state };
}

/**
 * Puts a new refresh token beside the presented one, and prolongs the session. Of two that were given out for one, the
 * first that is used makes the other old.
 */
export async function rotateRefreshToken(
  transaction: Transaction,
  presented: PresentedRefresh,
  next: { hash: Buffer; createdAt: Date; expiresAt: Date },
): Promise<void> {
  const { sessionId, state } = presented;
  if (state === "fresh") {
    await transaction.$executeRawUnsafe(
      "UPDATE refresh_tokens SET used_at = clock_timestamp() WHERE credential_id = $1::uuid AND used_at IS NULL",
      sessionId,
    );
  }
  const { hash, createdAt, expiresAt } = next;
  await transaction.refreshToken.create({
    data: { tokenHash: Uint8Array.from(hash), credentialId: sessionId, createdAt, expiresAt },
  });
  await transaction.credential.update({ select: { id: true }, where: { id: sessionId }, data: { expiresAt } });
}

/**
 * Forgets refresh tokens that have expired, and sessions that ended `keepSeconds` ago. The audit keeps their story. The
 * time is the database's, as everywhere where something is removed: a replica's may be wrong by years.
 */
export async function deleteEndedSessions(prisma: PrismaClient, keepSeconds: number): Promise<void> {
  await prisma.$executeRawUnsafe("DELETE FROM refresh_tokens WHERE expires_at < now()");
  await prisma.$executeRawUnsafe(
    `DELETE FROM credentials
     WHERE kind = 'oauth-session' AND least(expires_at, revoked_at) < now() - make_interval(secs => $1::float8)`,
    keepSeconds,
  );
}

const keepEndedSeconds = 7 * 24 * 3_600;

/** Forgets refresh tokens that have expired, keys that verify no more, and sessions that ended a week ago. */
export async function sweepOAuth(prisma: PrismaClient): Promise<void> {
  await deleteEndedSessions(prisma, keepEndedSeconds);
  await deleteRetiredSigningKeys(prisma);
}
