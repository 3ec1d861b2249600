import type { TestService } from "./test-service.js";

/**
 * Ends what the replicas on this database listen with. They come back to it after a second, and ask twice a second
 * in the meantime: so a change that is made at once is not yet known to them.
 */
export async function deafen({ database }: Pick<TestService, "database">): Promise<void> {
  await database.pool.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
  );
}
