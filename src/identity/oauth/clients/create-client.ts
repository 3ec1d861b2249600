import { randomUUID } from "node:crypto";
import type { EventBody } from "../../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../../core/caller.js";
import { databaseNow } from "../../../core/database-clock.js";
import { Problem } from "../../../core/problem.js";
import type { PrismaClient } from "../../../db/database.js";
import { type Granted, grantedExpiry, grantedPermissions } from "../../credentials/create-credential.js";
import { invalidCredential } from "../../invalid-credential.js";
import { createToken, hashToken } from "../../token.js";
import { deleteSecret, insertClient, insertSecret, lockClient } from "./store.js";

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

type Deps = { prisma: PrismaClient; audit: AuditWriter };
type Input = { clientId: string; caller: Caller; factory: FactoryRef; requested: RequestedBy };
type Locked = NonNullable<Awaited<ReturnType<typeof lockClient>>>;

/** One that is in use, and one to take its place. */
const maxSecrets = 2;

/**
 * Gives a client a second secret, so that the first can be replaced everywhere before it is removed.
 * @throws Problem `not-found`; `limit-reached` when it has two; `forbidden` when the client may do more, or lives
 * longer, than the caller: its secret would be a way to more than the caller has
 */
export async function addClientSecret(
  deps: Deps,
  input: Input,
): Promise<{ id: string; text: string; createdAt: Date }> {
  const { clientId, factory } = input;
  const secret = { id: randomUUID(), text: createToken("client-secret"), createdAt: databaseNow() };
  await deps.prisma.$transaction(async (transaction) => {
    const client = await lockClient(transaction, { id: clientId, factoryId: factory.id });
    if (!client) throw noSuchClient();
    refuseMoreThan(input.caller, clientId, client);
    if (client.secretIds.length >= maxSecrets) {
      throw new Problem("limit-reached", "The client has two secrets, the most it can have. Remove one first.");
    }
    const { id, createdAt } = secret;
    await insertSecret(transaction, { id, clientId, hash: hashToken(secret.text), createdAt });
    const action = "oauth-client.secret-added";
    const body = { action, credential: { id: clientId, name: client.name }, secretId: id } as const;
    await deps.audit.writeWith(transaction, [eventOf(input, createdAt, body)]);
  });
  return secret;
}

/**
 * Removes one of a client's two secrets. Sessions that were opened with it go on: delete the client to end them.
 * @throws Problem `not-found`; `conflict` for the last one
 */
export async function removeClientSecret(deps: Deps, input: Input & { secretId: string }): Promise<void> {
  const { clientId, factory, secretId } = input;
  await deps.prisma.$transaction(async (transaction) => {
    const client = await lockClient(transaction, { id: clientId, factoryId: factory.id });
    if (!client?.secretIds.includes(secretId)) throw noSuchClient();
    if (client.secretIds.length === 1) {
      throw new Problem("conflict", "This is the client's last secret. Add another first, or delete the client.");
    }
    await deleteSecret(transaction, secretId);
    const action = "oauth-client.secret-removed";
    const body = { action, credential: { id: clientId, name: client.name }, secretId } as const;
    await deps.audit.writeWith(transaction, [eventOf(input, databaseNow(), body)]);
  });
}

function eventOf({ caller, factory, requested }: Input, at: Date, body: EventBody) {
  return { at, outcome: "allowed", actor: actorOf(caller), factory, body, ...requested } as const;
}

function refuseMoreThan(caller: Caller, clientId: string, client: Locked): void {
  const beyond = client.permissions.filter((permission) => !caller.permissions.has(permission));
  if (beyond.length > 0) {
    throw new Problem("forbidden", `The client may do more than this credential, which lacks ${beyond.join(", ")}.`);
  }
  if (caller.grants) throw new Problem("forbidden", "The client reaches more than this credential, which has grants.");
  // A session of the client itself ends before the client does, and gains nothing by a further secret.
  if (!caller.expiresAt || caller.actorId === clientId) return;
  if (!client.expiresAt || client.expiresAt > caller.expiresAt) {
    throw new Problem(
      "forbidden",
      `The client outlives this credential, which expires at ${caller.expiresAt.toISOString()}.`,
    );
  }
}

const noSuchClient = (): Problem => new Problem("not-found", "There is no such client, or no such secret of it.");
