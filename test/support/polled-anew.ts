import { expect, vi } from "vitest";
import type { Database } from "../../src/db/database.js";

const isPoll = ([query]: readonly unknown[]): boolean => JSON.stringify(query ?? "").includes("poll-generations");

/**
 * Resolves when a replica has asked the database what has changed, later than now, and was answered. It asks twice a
 * second (test/db/change-feed.test.ts), so what it knows then it knows within a second: on a slow machine too, where a
 * clock would say otherwise.
 */
export async function polledAnew({ database: { pool } }: { database: Pick<Database, "pool"> }): Promise<void> {
  const asked = vi.spyOn(pool, "query");
  try {
    await expect.poll(() => asked.mock.calls.some(isPoll)).toBe(true);
    await asked.mock.results[asked.mock.calls.findIndex(isPoll)]?.value;
  } finally {
    asked.mockRestore();
  }
}
