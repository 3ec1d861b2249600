import type { EventBody } from "../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";

import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { invalidCredential } from "../invalid-credential.js";
import { holdFactory } from "./store.js";

export type DeviceDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  generations: Generations;
  withdrawals: Withdrawals;
};

export type DeviceChange = { factory: FactoryRef; caller: Caller; requested: RequestedBy };

/**
 * Writes one change of who the factory's devices are with its event, while no other is written. With `raises`, every
 * verdict that was made of a certificate before is made again afterwards, on each replica.
 * @throws Problem `unauthenticated`, `not-found` when the caller's credential or the factory ended meanwhile
 */
export async function writeChange<T>(
  { prisma, audit, generations }: DeviceDeps,
  { factory, caller, requested }: DeviceChange,
  write: (transaction: Transaction, at: Date) => Promise<{ written: T; body: EventBody }>,
  raises = true,
): Promise<T> {
  const at = databaseNow();
  const { written, generation } = await prisma.$transaction(async (transaction) => {
    const held = await holdFactory(transaction, { factoryId: factory.id, makerId: caller.id, raises });
    if (held === "maker-withdrawn") throw invalidCredential();
    if (held === "factory-gone") {
      throw new Problem("not-found", "There is no such factory, or this credential is not of it.");
    }
    const change = await write(transaction, at);
    const event = { at, outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const;
    await audit.writeWith(transaction, [{ ...event, body: change.body }]);
    return { written: change.written, generation: held };
  });
  generations.observe(factory.id, generation);
  return written;
}
