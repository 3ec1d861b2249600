import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { AuditEvent, EventBody } from "../../audit/events.js";
import type { AuditWriter } from "../../audit/record.js";
import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { sqlState } from "../../core/database-errors.js";
import { Problem } from "../../core/problem.js";
import { DataKeyUnreadable, type KeyRing } from "../../crypto/key-ring.js";
import { countWrapped } from "../../crypto/open-key-ring.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";
import { heldKey, type KeyCommand, type KeyDeps, noKey } from "../change-keys.js";
import { findKeyRow } from "../store.js";
import { resealWork } from "../work/reseal/reseal.js";
import { countSealedBefore, hasRetiredDataKey, lockFactory, placeDataKey, placeMissing } from "../work/reseal/store.js";
import { rewrapWork } from "../work/rewrap/rewrap.js";
import {
  advanceTask,
  endTask,
  findRunningTask,
  findTask,
  insertTask,
  type TaskRow,
  type TaskSubject,
} from "./store.js";

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

/** What a task does, in batches that are each whole or not at all. What is left is read from the data each time. */
export type KeyWork = {
  /** How many are left to move. */
  count(): Promise<number>;
  /**
   * Moves at most so many. `isLast`: this was the end of them, as far as was seen; the next batch begins again with all
   * that are left. `broken`: those that do not open, each once, of this batch and those before it since the beginning.
   */
  batch(most: number): Promise<{ moved: number; isLast: boolean; broken: readonly string[] }>;
  /** What is to be done when nothing is left, and what the audit says then. */
  finish(transaction: Transaction, done: number): Promise<Pick<AuditEvent, "body" | "factory">>;
};

export type RunDeps = { prisma: PrismaClient; audit: AuditWriter };

const maxBatch = 50;
const idleMs = 200;

/** A row still needs what was to be removed: 23503 until Postgres 17, 23001 since 18. */
const stillNeeded = new Set(["23503", "23001"]);

/** The service, when no one asks: a task goes on after its caller has left. */
const service = { kind: "service", id: "", name: "factory-secrets" } as const;

/**
 * Works on a task that `holder` has claimed, until it is done, another has it, or `signal` ends it. Killed at any point,
 * nothing is lost: anyone who claims it next goes on with what is left.
 * @throws what a batch throws (`Problem` `key-unavailable`, the database's errors); the task stays
 */
export async function runTask(
  deps: RunDeps,
  task: TaskRow,
  work: KeyWork,
  run: { holder: string; signal: AbortSignal; onProgress?: (done: number, total: number) => void },
): Promise<"ended" | "stopped"> {
  const { holder, signal, onProgress } = run;
  let { done } = task;
  let total = done + (await work.count());
  while (!signal.aborted) {
    const startedMs = performance.now();
    const batch = await work.batch(Math.min(maxBatch, task.perSecond)).catch(unreadable);
    if (batch instanceof DataKeyUnreadable) return fail(deps, task.id, batch.detail);
    const { moved, isLast, broken } = batch;
    done += moved;
    total = Math.max(total, done);
    if (!(await advanceTask(deps.prisma, { id: task.id, holder, done, total }))) return "stopped";
    onProgress?.(done, total);
    const left = isLast ? await work.count() : total - done;
    if (isLast && left === 0 && (await end(deps, task.id, work, done))) return "ended";
    // Fewer are left than were broken: some are mended or gone by now, and are not to be named.
    if (isLast && moved === 0 && left > 0 && left === broken.length) return fail(deps, task.id, brokenText(broken));
    // What others hold just now is looked for again.
    const pauseMs = Math.max((moved * 1_000) / task.perSecond - (performance.now() - startedMs), isLast ? idleMs : 0);
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
  return "stopped";
}

/** @returns false when something has come to be left in the meantime */
async function end({ prisma, audit }: RunDeps, id: string, work: KeyWork, done: number): Promise<boolean> {
  try {
    await prisma.$transaction(async (transaction) => {
      const at = databaseNow();
      // Of two who see the end at once, one writes the event.
      if (!(await endTask(transaction, id, { state: "done", at }))) return;
      const { body, factory } = await work.finish(transaction, done);
      await audit.writeWith(transaction, [
        { at, outcome: "allowed", actor: service, body, ...(factory && { factory }) },
      ]);
    });
    return true;
  } catch (error) {
    if (stillNeeded.has(sqlState(error) ?? "")) return false;
    throw error;
  }
}

/** Another try would not open it: the next command has to make a new one. */
function unreadable(error: unknown): DataKeyUnreadable {
  if (error instanceof DataKeyUnreadable) return error;
  throw error;
}

function brokenText(broken: readonly string[]): string {
  const some = broken.slice(0, 5).join(", ");
  return `${broken.length} of them do not open and stay as they are: ${some}${broken.length > 5 ? ", ..." : ""}`;
}

async function fail({ prisma }: RunDeps, id: string, problem: string): Promise<"ended"> {
  await prisma.$transaction((transaction) => endTask(transaction, id, { state: "failed", problem, at: databaseNow() }));
  return "ended";
}

/** Dependencies of a key task. */
export type TaskDeps = RunDeps & { keys: KeyRing; factoryKeys: FactoryKeys };

export function workOf(deps: TaskDeps, subject: TaskSubject): KeyWork {
  switch (subject.kind) {
    case "rewrap":
      return rewrapWork(deps, subject.keyId);
    case "reseal":
      return resealWork(deps, subject.factoryId);
    default:
      return subject satisfies never;
  }
}
