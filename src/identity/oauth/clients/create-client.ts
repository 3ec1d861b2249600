import { randomUUID } from "node:crypto";
import type { AuditWriter, RequestedBy } from "../../../audit/record.js";

import { actorOf, type Caller, type FactoryRef } from "../../../core/caller.js";
import { databaseNow } from "../../../core/database-clock.js";
import type { PrismaClient } from "../../../db/database.js";
import { grantedExpiry } from "../../credentials/granted-expiry.js";
import { type Granted, grantedPermissions } from "../../credentials/granted-permissions.js";
import { invalidCredential } from "../../invalid-credential.js";
import { createToken, hashToken } from "../../token.js";
import { insertClient } from "./store.js";

/** What was made. The secret itself exists only here and in the reply. */
export type CreatedClient = Granted & {
  id: string;
  secret: { id: string; text: string };
  createdAt: Date;
  expiresAt: Date | undefined;
};

/** Makes an OAuth client with its first secret. It can do nothing that its maker cannot, and lives no longer. */
export async function createClient(
  deps: { prisma: PrismaClient; audit: AuditWriter },
  input: {
    name: string;
    asked: Parameters<typeof grantedPermissions>[1];
    expiresAt: Date | undefined;
    maker: Caller;
    factory: FactoryRef;
    requested: RequestedBy;
  },
): Promise<CreatedClient> {
  const { name, maker, factory, requested } = input;
  const granted = grantedPermissions(maker, input.asked);
  const createdAt = databaseNow();
  const expiresAt = grantedExpiry(maker, input.expiresAt, createdAt);
  const id = randomUUID();
  const secret = { id: randomUUID(), text: createToken("client-secret") };
  const audit = deps.audit.row({
    at: createdAt,
    outcome: "allowed",
    actor: actorOf(maker),
    factory,
    body: {
      action: "oauth-client.created",
      credential: { id, name },
      permissions: granted.permissions,
      ...(granted.roles.length > 0 && { roles: granted.roles }),
      ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
    },
    ...requested,
  });
  const client = {
    id,
    factoryId: factory.id,
    name,
    ...granted,
    createdAt,
    createdBy: actorOf(maker),
    expiresAt,
    secret: { id: secret.id, hash: hashToken(secret.text) },
  };
  if (!(await insertClient(deps.prisma, client, maker.id, audit))) throw invalidCredential();
  return { id, secret, createdAt, expiresAt, ...granted };
}
