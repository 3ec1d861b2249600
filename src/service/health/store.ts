import { randomUUID } from "node:crypto";
import type { Database, PrismaClient } from "../../db/database.js";

/**
 * Records that this database is an installation of the service.
 * @returns true for the one process that finds it empty, however many start at once
 */
export async function claimInstallation(prisma: PrismaClient): Promise<boolean> {
  const claimed = await prisma.$executeRawUnsafe(
    "INSERT INTO installation (id) VALUES ($1::uuid) ON CONFLICT (singleton) DO NOTHING",
    randomUUID(),
  );
  return claimed === 1;
}

/**
 * True unless the database says that it takes no writes: it is a standby (a demoted primary too), or
 * `default_transaction_read_only` is on. A database that says nothing is another trouble, and true here.
 */
export async function databaseTakesWrites(pool: Database["pool"]): Promise<boolean> {
  const asked = pool.query<{ readOnly: boolean }>(
    "SELECT current_setting('transaction_read_only')::bool AS \"readOnly\"",
  );
  const [row] = (await asked.catch(() => ({ rows: [] }))).rows;
  if (!row?.readOnly) return true;
  await closeIdle(pool);
  return false;
}

/**
 * After a switchover the name of the database leads to the new primary, and connections that are open still lead to the
 * old one. So they are given up, as far as nothing uses them, and the next statement connects anew.
 */
async function closeIdle(pool: Database["pool"]): Promise<void> {
  for (let left = pool.idleCount; left > 0 && pool.idleCount > 0; left -= 1) (await pool.connect()).release(true);
}

/** @throws the driver's error when no connection is to be had, or the database does not answer */
export async function databaseAnswers(pool: Database["pool"]): Promise<boolean> {
  return (await pool.query("SELECT 1")).rowCount === 1;
}
