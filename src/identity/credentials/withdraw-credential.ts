import type { EventBody } from "../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";

import { actorOf, type Caller, type CredentialKind, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { type Withdrawals, withdrawnCredential } from "../../db/withdrawals.js";
import { countAdmins, countOperators, revokeFamily, takeTurnOfAdmins, takeTurnOfOperators } from "./store.js";

const withdrawn = {
  operator: "operator-token.revoked",
  "api-token": "api-token.revoked",
  job: "job.ended",
  "oauth-client": "oauth-client.revoked",
} as const satisfies Partial<Record<CredentialKind, EventBody["action"]>>;

/**
 * Withdraws a credential and all that was derived from it, on every replica.
 * @throws Problem `not-found` when there is no such live credential here; `last-operator-token` for the last of its
 * kind; `last-admin` for the last of a factory that could make another
 */
export async function withdrawCredential(
  deps: { prisma: PrismaClient; audit: AuditWriter; withdrawals: Withdrawals },
  input: {
    id: string;
    kind: keyof typeof withdrawn;
    factory: FactoryRef | undefined;
    caller: Caller;
    requested: RequestedBy;
  },
): Promise<void> {
  const { id, kind, factory, caller, requested } = input;
  const withdrawnIds = await deps.prisma.$transaction(async (transaction) => {
    const revoked = await revokeFamily(transaction, { id, kind, factoryId: factory?.id });
    if (revoked === undefined) {
      throw new Problem("not-found", "There is no such credential, or it has ended already.");
    }
    if (kind === "operator") await refuseLastOperator(transaction);
    if (revoked.wasAdmin && factory) await refuseLastAdmin(transaction, factory.id);
    const body: EventBody = { action: withdrawn[kind], credential: { id, name: revoked.name } };
    const event = { at: databaseNow(), outcome: "allowed", actor: actorOf(caller), body, ...requested } as const;
    await deps.audit.writeWith(transaction, [factory ? { ...event, factory } : event]);
    return revoked.withdrawn;
  });
  // Other replicas are told by NOTIFY. Whoever asks this one again must not be faster than that.
  for (const one of withdrawnIds) deps.withdrawals.observe(withdrawnCredential(one));
}

async function refuseLastOperator(transaction: Transaction): Promise<void> {
  await takeTurnOfOperators(transaction);
  if ((await countOperators(transaction)) > 0) return;
  throw new Problem("last-operator-token", "This is the last operator token. Make another one first.");
}

async function refuseLastAdmin(transaction: Transaction, factoryId: string): Promise<void> {
  await takeTurnOfAdmins(transaction, factoryId);
  if ((await countAdmins(transaction, factoryId)) > 0) return;
  throw new Problem("last-admin", "This is the last admin of the factory. Make another one first.");
}
