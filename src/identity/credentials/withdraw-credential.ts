import type { EventBody } from "../../audit/events.js";
import type { AuditWriter } from "../../audit/record.js";
import type { RequestedBy } from "../../audit/requested-by.js";
import { actorOf, type Caller, type CredentialKind, type FactoryRef } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { countAdmins, countOperators, revokeFamily } from "./store.js";

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
  deps: { prisma: PrismaClient; audit: AuditWriter; generations: Generations },
  input: {
    id: string;
    kind: keyof typeof withdrawn;
    factory: FactoryRef | undefined;
    caller: Caller;
    requested: RequestedBy;
  },
): Promise<void> {
  const { id, kind, factory, caller, requested } = input;
  const raised = await deps.prisma.$transaction(async (transaction) => {
    const revoked = await revokeFamily(transaction, { id, kind, factoryId: factory?.id });
    if (revoked === undefined) {
      throw new Problem("not-found", "There is no such credential, or it has ended already.");
    }
    // revokeFamily holds the row of the installation or factory by now: two of these cannot both see another one left.
    if (kind === "operator" && (await countOperators(transaction)) === 0) {
      throw new Problem("last-operator-token", "This is the last operator token. Make another one first.");
    }
    if (revoked.wasAdmin && factory && (await countAdmins(transaction, factory.id)) === 0) {
      throw new Problem("last-admin", "This is the last admin of the factory. Make another one first.");
    }
    const body: EventBody = { action: withdrawn[kind], credential: { id, name: revoked.name } };
    const event = { at: new Date(), outcome: "allowed", actor: actorOf(caller), body, ...requested } as const;
    await deps.audit.writeWith(transaction, [factory ? { ...event, factory } : event]);
    return revoked.raised;
  });
  // Other replicas are told by NOTIFY. Whoever asks this one again must not be faster than that.
  for (const scope of raised) deps.generations.observe(scope.id, scope.generation);
}
