import type { PrismaClient } from "../db/database.js";
import type { PageStart } from "../http/page.js";

export type AuditFilter = {
  factoryId: string | undefined;
  secret: string | undefined;
  actor: string | undefined;
  action: string | undefined;
  from: string | undefined;
  to: string | undefined;
  page: PageStart;
};

/** Events, newest first; one more than the page has. `actor` is the id of a credential. */
export async function listEvents(prisma: PrismaClient, filter: AuditFilter) {
  const [after] = filter.page.after ?? [];
  return prisma.auditEvent.findMany({
    select: { id: true, writer: true, event: true },
    where: {
      ...(filter.factoryId !== undefined && { factoryId: filter.factoryId }),
      ...(filter.secret !== undefined && { secret: filter.secret }),
      ...(filter.actor !== undefined && { actorId: filter.actor }),
      ...(filter.action !== undefined && { action: filter.action }),
      ...((filter.from ?? filter.to) !== undefined && {
        at: { ...(filter.from && { gte: filter.from }), ...(filter.to && { lt: filter.to }) },
      }),
      ...(after !== undefined && { id: { lt: BigInt(after) } }),
    },
    orderBy: { id: "desc" },
    take: filter.page.size + 1,
  });
}

/** What the columns beside an event say of it. */
export type EventColumns = {
  id: bigint;
  at: Date;
  action: string;
  outcome: string;
  actor_kind: string;
  actor_id: string | null;
};

/** The columns of events, by id. Whoever writes them directly can write any time: one that no reply can hold is the nearest. */
export async function columnsOfEvents(
  prisma: PrismaClient,
  ids: readonly bigint[],
): Promise<Map<bigint, EventColumns>> {
  if (ids.length === 0) return new Map();
  const rows = await prisma.$queryRawUnsafe<EventColumns[]>(
    `/* columns-of-events */ SELECT id, action, outcome, actor_kind, actor_id,
       greatest(least(at, '9999-12-31T23:59:59Z'), '0001-01-01T00:00:00Z') AS at
     FROM audit_events WHERE id = ANY ($1::bigint[])`,
    ids,
  );
  return new Map(rows.map((row) => [row.id, row]));
}
