import type { PrismaClient } from "../db/database.js";

const idPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether there is a factory of this id. A deleted one is none. */
export async function factoryExists(prisma: PrismaClient, id: string): Promise<boolean> {
  // What no id looks like is no question for Postgres, which fails on it.
  if (!idPattern.test(id)) return false;
  return (await prisma.factory.findFirst({ select: { id: true }, where: { id, deletedAt: null } })) !== null;
}
