import { randomUUID } from "node:crypto";
import type { AuditWriter, RequestedBy } from "../../../audit/record.js";

import type { Actor } from "../../../core/caller.js";
import { databaseNow } from "../../../core/database-clock.js";
import type { Permission } from "../../../core/permissions.js";
import type { PrismaClient } from "../../../db/database.js";
import { createToken, hashToken } from "../../token.js";
import { invalidClient } from "../authenticate-client.js";
import type { ProvenClient } from "../clients/store.js";
import { sessionSeconds } from "../token-life.js";
import { insertSession } from "./store.js";

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
