import type { PrismaClient } from "../db/database.js";

export type AuditFilter = {
  factoryId: string | undefined;
  secret: string | undefined;
  actor: string | undefined;
  action: string | undefined;
  from: string | undefined;
  to: string | undefined;
  before: bigint | undefined;
  pageSize: number;
};

/** Events, newest first; one more than `pageSize`. `actor` is the id of a credential. */
export async function listEvents(prisma: PrismaClient, filter: AuditFilter) {
  return prisma.auditEvent.findMany({
    select: { id: true, event: true },
    where: {
      ...(filter.factoryId !== undefined && { factoryId: filter.factoryId }),
      ...(filter.secret !== undefined && { secret: filter.secret }),
      ...(filter.actor !== undefined && { actorId: filter.actor }),
      ...(filter.action !== undefined && { action: filter.action }),
      ...((filter.from ?? filter.to) !== undefined && {
        at: { ...(filter.from && { gte: filter.from }), ...(filter.to && { lt: filter.to }) },
      }),
      ...(filter.before !== undefined && { id: { lt: filter.before } }),
    },
    orderBy: { id: "desc" },
    take: filter.pageSize + 1,
  });
}
