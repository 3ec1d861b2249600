import { randomUUID } from "node:crypto";
import type { EventBody } from "../../audit/events.js";
import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import { DataKeyUnreadable } from "../../crypto/data-key-unreadable.js";
import { countWrapped } from "../../crypto/store.js";
import type { Transaction } from "../../db/database.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";
import { heldKey, type KeyCommand, type KeyDeps, noKey } from "../change-keys.js";
import { findKeyRow } from "../store.js";
import { countSealedBefore, hasRetiredDataKey, lockFactory, placeDataKey, placeMissing } from "../work/reseal/store.js";
import { findRunningTask, findTask, insertTask, type TaskRow, type TaskSubject } from "./store.js";

type Start = { perSecond: number } & Pick<KeyCommand, "actor" | "requested">;

/**
 * Begins to wrap by the active key what another one wraps, or finds that begun already.
 * @throws Problem `not-found`, `key-unsuitable` for the active key
 */
export async function startRewrap(deps: KeyDeps, input: Start & { key: string }): Promise<TaskRow> {
  const { prisma, keys } = deps;
  const row = await findKeyRow(prisma, input.key);
  if (!row) throw noKey(input.key);
  if (row.state === "active")
    throw new Problem("key-unsuitable", `The key ${row.id} is the active one. Activate another first.`);
  heldKey(keys, row.id);
  const subject = { kind: "rewrap", keyId: row.id } as const;
  const total = await countWrapped(prisma, row.id);
  return begin(deps, { ...input, subject, total }, async () => ({
    body: { action: "key.rewrap-started", keyId: row.id },
  }));
}

/**
 * Gives a factory a new data key and begins to seal its values anew. A fingerprint key that is missing is made, too. Where that was begun before and has not come to its
 * end, it is taken up: no further key is made, unless the one that was made then does not open.
 * @throws Problem `not-found`, `key-unavailable`
 */
export async function startReseal(
  deps: KeyDeps & { factoryKeys: FactoryKeys },
  input: Start & { factory: FactoryRef },
): Promise<TaskRow> {
  const { factory } = input;
  const subject = { kind: "reseal", factoryId: factory.id } as const;
  // Wrapped before the transaction begins: a cloud KMS answers over the network.
  const key = await deps.keys.createDataKey(factory.id, "secret");
  const fingerprinting = await deps.keys.createDataKey(factory.id, "fingerprint");
  const total = await countSealedBefore(deps.prisma, factory.id);
  const sealsAlready = await canSeal(deps.factoryKeys, factory.id);
  const task = await begin(deps, { ...input, subject, total }, async (transaction) => {
    if (!(await lockFactory(transaction, factory.id))) throw new Problem("not-found", "There is no such factory.");
    await placeMissing(transaction, factory.id, fingerprinting);
    if (sealsAlready && (await hasRetiredDataKey(transaction, factory.id)))
      return { factory, body: { action: "data-key.reseal-started" } };
    await placeDataKey(transaction, factory.id, key);
    const body = { action: "data-key.replaced", dataKeyId: key.id, keyId: key.keyEncryptionKeyId } as const;
    return { factory, body };
  });
  deps.factoryKeys.forget(factory.id);
  return task;
}

/** False only when its data key is there and does not open: one that cannot be asked for just now may well. */
async function canSeal(factoryKeys: FactoryKeys, factoryId: string): Promise<boolean> {
  factoryKeys.forget(factoryId);
  try {
    return (await factoryKeys.of(factoryId)).seal !== undefined;
  } catch (error) {
    return !(error instanceof DataKeyUnreadable);
  }
}

async function begin(
  { prisma, audit }: Pick<KeyDeps, "prisma" | "audit">,
  input: Start & { subject: TaskSubject; total: number },
  prepare: (transaction: Transaction) => Promise<{ body: EventBody; factory?: FactoryRef }>,
): Promise<TaskRow> {
  const { subject, total, perSecond, actor, requested } = input;
  const id = randomUUID();
  const isNew = await prisma.$transaction(async (transaction) => {
    // Of two who begin at once the second waits here for the first, and then finds its task.
    if (!(await insertTask(transaction, { id, subject, perSecond, total }))) return false;
    const { body, factory } = await prepare(transaction);
    const event = {
      at: databaseNow(),
      outcome: "allowed",
      actor,
      body,
      ...(factory && { factory }),
      ...requested,
    } as const;
    await audit.writeWith(transaction, [event]);
    return true;
  });
  // A replica may have ended a short one by now.
  const task = isNew ? await findTask(prisma, id) : await findRunningTask(prisma, subject);
  // That of another may have ended within this very moment.
  if (!task) throw new Problem("conflict", "This was just done. Look at the keys again.", { retryAfterSeconds: 1 });
  return task;
}
