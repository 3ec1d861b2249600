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

/** @throws the driver's error when no connection is to be had, or the database does not answer */
export async function databaseAnswers(pool: Database["pool"]): Promise<boolean> {
  return (await pool.query("SELECT 1")).rowCount === 1;
}
