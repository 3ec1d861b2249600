import type { AuditWriter } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import { holdExpired, removeForGood } from "./store.js";

const batchSize = 100;
const sweeper = { kind: "service", id: "", name: "sweep" } as const;

/**
 * Removes for good what was deleted too long ago to be had back, each secret with an audit row. Safe on several replicas
 * at once, and against being killed: what is left is swept next time.
 * @returns how many secrets were removed
 */
export async function sweepDeletedSecrets(deps: {
  prisma: PrismaClient;
  audit: AuditWriter;
  undeleteDays: number;
}): Promise<number> {
  let removed = 0;
  for (;;) {
    const count = await deps.prisma.$transaction(async (transaction) => {
      const rows = await holdExpired(transaction, deps.undeleteDays, batchSize);
      await removeForGood(
        transaction,
        rows.map(({ id }) => id),
      );
      const events = rows.map((row) => ({
        ...({ at: databaseNow(), outcome: "allowed", actor: sweeper } as const),
        factory: { id: row.factory_id, name: row.factory_name },
        body: { action: "secret.purged", secret: row.name, secretVersion: row.current_version } as const,
      }));
      await deps.audit.writeWith(transaction, events);
      return rows.length;
    });
    removed += count;
    if (count < batchSize) return removed;
  }
}
