import { vi } from "vitest";
import type { Database } from "../../src/db/database.js";

/**
 * Waits until every transaction that runs now has ended, so that all that is committed can be sealed: those of other
 * databases, and so of other tests, hold up the sealer as well.
 */
export async function earlierTransactionsEnded({ pool }: Pick<Database, "pool">): Promise<void> {
  const { rows } = await pool.query<{ next: string }>("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next");
  const haveEnded = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8 AS ended";
  await vi.waitUntil(async () => (await pool.query(haveEnded, [rows[0]?.next])).rows[0]?.ended, {
    timeout: 120_000,
    interval: 10,
  });
}
