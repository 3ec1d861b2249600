import pg from "pg";
import { expect } from "vitest";
import type { ServerProcess } from "./server-process.js";

const patience = { timeout: 120_000, interval: 20 };

/**
 * Kills a server at one step of its work: it is held back there by a lock, dies, and the lock goes. Resolves when its
 * connections are gone too, which finish their statement first and then find nobody to answer.
 * @param lock a statement that takes a lock for the length of its transaction
 * @param work starts what runs into it; what becomes of it is for nobody to see
 */
export async function killAtLock(
  input: { databaseUrl: string; lock: string; server: ServerProcess },
  work: () => void = () => undefined,
): Promise<void> {
  const [holder, watcher] = [1, 2].map(() => new pg.Client({ connectionString: input.databaseUrl }));
  if (!holder || !watcher) throw new Error("two clients were made");
  await Promise.all([holder.connect(), watcher.connect()]);
  const count = async (condition: string) =>
    (await watcher.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND ${condition}`)).rowCount;
  try {
    await holder.query("BEGIN");
    const { rows } = await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    await holder.query(input.lock);
    work();
    const isHeldBack = `${rows[0]?.pid} = ANY (pg_blocking_pids(pid))`;
    await expect.poll(() => count(isHeldBack), patience).toBeGreaterThan(0);
    const held = await watcher.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND ${isHeldBack}`,
    );
    input.server.signal("SIGKILL");
    await input.server.ended;
    await holder.query("ROLLBACK");
    const pids = held.rows.map(({ pid }) => pid).join(", ");
    await expect.poll(() => count(`pid IN (${pids})`), patience).toBe(0);
  } finally {
    await Promise.all([holder.end(), watcher.end()]);
  }
}
