import type { EventBody } from "../../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../../audit/record.js";

import { databaseNow } from "../../../core/database-clock.js";
import { Problem } from "../../../core/problem.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";
import { type Withdrawals, withdrawnCredential } from "../../../db/withdrawals.js";
import { revokeFamily } from "../../credentials/store.js";
import { createToken, hashToken, isWellFormedToken } from "../../token.js";
import type { ProvenClient } from "../clients/store.js";
import { type ClientSession, clientActor, sessionEnd } from "./open-session.js";
import { lockRefreshToken, type PresentedRefresh, rotateRefreshToken } from "./store.js";

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
