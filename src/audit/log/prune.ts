import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import type { AuditWriter } from "../record.js";

/** Events that go in one transaction. */
const stepSize = 5_000;

/**
 * Drops the events of each log that its newest checkpoint signed by `before` covers: all of them are older. That
 * checkpoint and the right edge of the tree there stay, so that verification goes on from it. Each step is a transaction
 * with its event, so this can be stopped anywhere.
 * @returns how many events went
 */
export async function pruneAudit(
  { prisma, audit }: { prisma: PrismaClient; audit: AuditWriter },
  before: Date,
  onProgress: (removed: number) => void = () => undefined,
): Promise<number> {
  let removed = 0;
  for (;;) {
    const count = await prisma.$transaction(async (transaction) => {
      const [row] = await transaction.$queryRawUnsafe<{ removed: number }[]>(
        "SELECT prune_audit($1, $2::int) AS removed",
        before,
        stepSize,
      );
      if (row === undefined || row.removed === 0) return 0;
      const body = { action: "audit.pruned", before: before.toISOString(), count: row.removed } as const;
      const actor = { kind: "service", id: "", name: "factory-secrets" } as const;
      await audit.writeWith(transaction, [{ at: databaseNow(), outcome: "allowed", actor, body }]);
      return row.removed;
    });
    removed += count;
    onProgress(removed);
    if (count < stepSize) return removed;
  }
}

/** Changes with every prune that drops something. */
export async function cutSum(prisma: PrismaClient): Promise<bigint> {
  const { _sum } = await prisma.auditLog.aggregate({ _sum: { cut: true } });
  return _sum.cut ?? 0n;
}
