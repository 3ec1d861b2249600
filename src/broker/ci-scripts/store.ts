import type { PrismaClient } from "../../db/database.js";

/** A secret whose value may leave in a job's `/secrets`, at its current version. */
export type FlaggedSecret = { id: string; name: string; version: number };

/** The flagged secrets of a factory as they are now, by name. One that an entry names is never among them. */
export async function readFlagged(prisma: PrismaClient, factoryId: string): Promise<FlaggedSecret[]> {
  const rows = await prisma.secret.findMany({
    select: { id: true, name: true, currentVersion: true },
    where: { factoryId, deliverToJobs: true, named: false, deletedAt: null },
    orderBy: { name: "asc" },
  });
  return rows.map(({ id, name, currentVersion }) => ({ id, name, version: currentVersion }));
}
