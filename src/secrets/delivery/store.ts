import type { PrismaClient, Transaction } from "../../db/database.js";

/** What the current version of each says. No version starts to say so later, so a second statement cannot show too much. */
export async function withDeliverability<T extends { id: string; currentVersion: number }>(
  prisma: PrismaClient,
  rows: readonly T[],
): Promise<(T & { deliverToJobs: boolean })[]> {
  const delivered = await prisma.secretVersion.findMany({
    select: { secretId: true, version: true },
    where: { secretId: { in: rows.map(({ id }) => id) }, deliverToJobs: true },
  });
  const keys = new Set(delivered.map(({ secretId, version }) => `${secretId}/${version}`));
  return rows.map((row) => ({ ...row, deliverToJobs: keys.has(`${row.id}/${row.currentVersion}`) }));
}

/** Whether a version may be delivered to jobs. */
export async function isDelivered(
  prisma: PrismaClient | Transaction,
  { secretId, version }: { secretId: string; version: number },
): Promise<boolean> {
  return (await prisma.secretVersion.count({ where: { secretId, version, deliverToJobs: true } })) > 0;
}
