import type { AuditWriter } from "../audit/record.js";
import type { RequestedBy } from "../audit/requested-by.js";
import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import { eraseFactory } from "./store.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter; generations: Generations };
type Input = { factory: FactoryRef; caller: Caller; requested: RequestedBy };

const maxAttempts = 5;

// A deadlock, and a row that still refers to one that is deleted: 23503 until Postgres 17, 23001 since 18.
const disturbed = new Set(["40P01", "23503", "23001"]);

/**
 * Deletes a factory with all that is in it, on every replica, whoever writes in it at the same time.
 * @throws Problem `not-found` when it is gone already
 */
export async function deleteFactory(deps: Deps, input: Input): Promise<void> {
  const generation = await eraseDespiteWriters(deps, input);
  // Other replicas are told by NOTIFY.
  deps.generations.observe(input.factory.id, generation);
}

async function eraseDespiteWriters(deps: Deps, input: Input): Promise<bigint> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await eraseOnce(deps, input);
    } catch (error) {
      // A secret that came to be after the others were locked has a writer of its own. Nothing of this attempt is
      // left, and the next one waits for that writer first.
      if (!disturbed.has(sqlState(error) ?? "") || attempt === maxAttempts) throw error;
    }
  }
}

function eraseOnce({ prisma, audit }: Deps, { factory, caller, requested }: Input): Promise<bigint> {
  return prisma.$transaction(async (transaction) => {
    const raised = await eraseFactory(transaction, factory.id);
    if (raised === undefined) throw new Problem("not-found", "There is no such factory.");
    const event = { at: databaseNow(), outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const;
    await audit.writeWith(transaction, [{ ...event, body: { action: "factory.deleted" } }]);
    return raised;
  });
}
