import { expect, vi } from "vitest";
import type { Database } from "../../src/db/database.js";

type Asking = { database: Pick<Database, "pool"> };

/**
 * Resolves when a replica has asked the database what has changed, later than now, and was answered. It asks twice a
 * second (test/service/db/change-feed.test.ts), so what it knows then it knows within a second: on a slow machine too, where a
 * clock would say otherwise.
 */
export async function polledAnew(replica: Asking): Promise<void> {
  await askedAnew(replica, "poll-generations");
  await askedAnew(replica, "poll-withdrawals");
}

/** Resolves when the statement of this name was sent to the database, later than now, and was answered. */
export async function askedAnew({ database: { pool } }: Asking, statement: string): Promise<void> {
  const isIt = ([query]: readonly unknown[]): boolean => JSON.stringify(query ?? "").includes(statement);
  const asked = vi.spyOn(pool, "query");
  try {
    await expect.poll(() => asked.mock.calls.some(isIt)).toBe(true);
    await asked.mock.results[asked.mock.calls.findIndex(isIt)]?.value;
  } finally {
    asked.mockRestore();
  }
}
