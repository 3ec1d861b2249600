import type { AuditWriter } from "../../audit/record.js";
import type { RequestedBy } from "../../audit/requested-by.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { holdDeleted, removeForGood } from "./store.js";

type PurgeInput = { factory: FactoryRef; caller: Caller; name: string; requested: RequestedBy };

/**
 * Destroys for good every deleted secret of this name, with all its versions. One of the name that is in use stays.
 * @throws Problem `not-found`
 */
export async function purgeDeleted(
  { prisma, audit }: { prisma: PrismaClient; audit: AuditWriter },
  { factory, caller, name, requested }: PurgeInput,
): Promise<void> {
  const at = databaseNow();
  await prisma.$transaction(async (transaction) => {
    const held = await holdDeleted(transaction, factory.id, name);
    if (held.length === 0) throw new Problem("not-found", `There is no deleted secret "${name}".`);
    await removeForGood(
      transaction,
      held.map(({ id }) => id),
    );
    const events = held.map(({ version }) => ({
      ...({ at, outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const),
      body: { action: "secret.purged", secret: name, secretVersion: version } as const,
    }));
    await audit.writeWith(transaction, events);
  });
}
