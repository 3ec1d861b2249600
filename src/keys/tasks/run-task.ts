import { setTimeout as sleep } from "node:timers/promises";
import type { AuditEvent } from "../../audit/events.js";
import type { AuditWriter } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import { sqlState } from "../../core/database-errors.js";
import { DataKeyUnreadable } from "../../crypto/data-key-unreadable.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { advanceTask, endTask, type TaskRow } from "./store.js";

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

/** The service, when nobody asks: a task goes on after whoever began it has gone. */
const service = { kind: "service", id: "", name: "factory-secrets" } as const;

/**
 * Works on a task that `holder` has claimed, until it is done, another has it, or `signal` ends it. Killed at any point,
 * nothing is lost: whoever claims it next goes on with what is left.
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

/** @returns false when something has come to be left meanwhile */
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
