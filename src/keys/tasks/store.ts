import type { PrismaClient, Transaction } from "../../db/database.js";

/** What a task is about. */
export type TaskSubject = { kind: "rewrap"; keyId: string } | { kind: "reseal"; factoryId: string };

export type TaskRow = {
  id: string;
  subject: TaskSubject;
  state: "running" | "done" | "failed";
  perSecond: number;
  done: number;
  total: number;
  problem: string | undefined;
  createdAt: Date;
  finishedAt: Date | undefined;
};

/** Longer than a batch takes. When a process is killed, another goes on after that. */
const leaseSeconds = 5;
const listed = 100;

/** @returns false when one is running that is about the same */
export async function insertTask(
  transaction: Transaction,
  task: { id: string; subject: TaskSubject; perSecond: number; total: number },
): Promise<boolean> {
  const { id, subject, perSecond, total } = task;
  const inserted = await transaction.keyTask.createMany({
    data: { id, perSecond, total, ...subject, leasedUntil: new Date(0) },
    skipDuplicates: true,
  });
  return inserted.count === 1;
}

export async function findRunningTask(
  prisma: PrismaClient | Transaction,
  subject: TaskSubject,
): Promise<TaskRow | undefined> {
  const row = await prisma.keyTask.findFirst({ where: { state: "running", ...subject } });
  return row ? taskRow(row) : undefined;
}

export async function findTask(prisma: PrismaClient, id: string): Promise<TaskRow | undefined> {
  const row = await prisma.keyTask.findUnique({ where: { id } });
  return row ? taskRow(row) : undefined;
}

/** The last hundred, newest first. */
export async function listTasks(prisma: PrismaClient): Promise<TaskRow[]> {
  const rows = await prisma.keyTask.findMany({ orderBy: [{ createdAt: "desc" }, { id: "desc" }], take: listed });
  return rows.map(taskRow);
}

/** Takes a task that no one works on. @returns it, or `undefined` when it has ended or another has it */
export async function claimTask(prisma: PrismaClient, id: string, holder: string): Promise<TaskRow | undefined> {
  const claimed = await prisma.$executeRawUnsafe(
    `/* claim-key-task */ UPDATE key_tasks SET holder = $2::uuid, leased_until = now() + make_interval(secs => $3)
     WHERE id = $1::uuid AND state = 'running' AND (leased_until <= now() OR holder = $2::uuid)`,
    id,
    holder,
    leaseSeconds,
  );
  return claimed === 1 ? findTask(prisma, id) : undefined;
}

/** Tasks that no one works on and whose key, if they are about one, is among these. */
export async function listIdleTasks(prisma: PrismaClient, heldKeys: readonly string[]): Promise<string[]> {
  const rows = await prisma.$queryRawUnsafe<{ id: string }[]>(
    `/* list-idle-key-tasks */ SELECT id FROM key_tasks
     WHERE state = 'running' AND leased_until <= now() AND (key_id IS NULL OR key_id = ANY($1::text[]))
     ORDER BY created_at LIMIT 4`,
    heldKeys,
  );
  return rows.map(({ id }) => id);
}

/** Notes what was done and keeps the task. @returns false when another has it by now */
export async function advanceTask(
  prisma: PrismaClient,
  task: { id: string; holder: string; done: number; total: number },
): Promise<boolean> {
  const kept = await prisma.$executeRawUnsafe(
    `/* advance-key-task */ UPDATE key_tasks
     SET done = $3::int, total = $4::int, problem = NULL, leased_until = now() + make_interval(secs => $5)
     WHERE id = $1::uuid AND holder = $2::uuid AND state = 'running'`,
    task.id,
    task.holder,
    task.done,
    task.total,
    leaseSeconds,
  );
  return kept === 1;
}

/** Ends a task. @returns false when it has ended already */
export async function endTask(
  transaction: Transaction,
  id: string,
  end: { state: "done" | "failed"; problem?: string; at: Date },
): Promise<boolean> {
  const { state, problem = null, at } = end;
  const ended = await transaction.keyTask.updateMany({
    where: { id, state: "running" },
    data: { state, problem, holder: null, finishedAt: at },
  });
  return ended.count === 1;
}

/** Lets a task go, with what keeps it from going on. No one takes it before `afterSeconds`. */
export async function releaseTask(
  prisma: PrismaClient,
  task: { id: string; holder: string; problem: string | undefined; afterSeconds: number },
): Promise<void> {
  await prisma.$executeRawUnsafe(
    `UPDATE key_tasks SET holder = NULL, problem = $3::text, leased_until = now() + make_interval(secs => $4)
     WHERE id = $1::uuid AND holder = $2::uuid AND state = 'running'`,
    task.id,
    task.holder,
    task.problem ?? null,
    task.afterSeconds,
  );
}

/** Forgets what ended `keepSeconds` ago. */
export async function deleteOldTasks(prisma: PrismaClient, keepSeconds: number): Promise<void> {
  await prisma.$executeRawUnsafe(
    "DELETE FROM key_tasks WHERE state <> 'running' AND finished_at < now() - make_interval(secs => $1::float8)",
    keepSeconds,
  );
}

function taskRow(row: {
  id: string;
  kind: string;
  state: string;
  keyId: string | null;
  factoryId: string | null;
  perSecond: number;
  done: number;
  total: number;
  problem: string | null;
  createdAt: Date;
  finishedAt: Date | null;
}): TaskRow {
  const { id, perSecond, done, total, createdAt } = row;
  return {
    ...{ id, perSecond, done, total, createdAt },
    subject:
      row.kind === "rewrap"
        ? { kind: "rewrap", keyId: row.keyId ?? "" }
        : { kind: "reseal", factoryId: row.factoryId ?? "" },
    state: row.state === "done" || row.state === "failed" ? row.state : "running",
    problem: row.problem ?? undefined,
    finishedAt: row.finishedAt ?? undefined,
  };
}
