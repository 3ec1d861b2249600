import type { PrismaClient } from "../../db/database.js";

/** How far a target has been served. */
export type Shipped = { position: number; checkpoint: number };

/** Makes the row of a target; one that is there stays as it is. */
export async function ensureShipment(prisma: PrismaClient, target: string): Promise<void> {
  // The column's default is rounded to milliseconds, so it can lie half a millisecond ahead: then the next statement
  // would find a lease.
  await prisma.auditShipment.createMany({ data: { target, leasedUntil: new Date(0) }, skipDuplicates: true });
}

/**
 * Takes or keeps the lease of a target, so that one process at a time sends there. The row is written only when half of
 * the lease is over.
 * @returns `undefined` while another process has it
 */
export async function leaseShipment(
  prisma: PrismaClient,
  { target, holder, seconds }: { target: string; holder: string; seconds: number },
): Promise<Shipped | undefined> {
  const [row] = await prisma.$queryRawUnsafe<{ position: bigint; checkpoint: bigint }[]>(
    `/* lease-shipment */ WITH taken AS (
       UPDATE audit_shipments SET holder = $2::uuid, leased_until = now() + make_interval(secs => $3)
       WHERE target = $1
         AND (leased_until <= now() OR holder = $2::uuid AND leased_until <= now() + make_interval(secs => $3 / 2.0))
       RETURNING position, checkpoint
     )
     SELECT position, checkpoint FROM taken
     UNION ALL
     SELECT position, checkpoint FROM audit_shipments
     WHERE target = $1 AND holder = $2::uuid AND leased_until > now() + make_interval(secs => $3 / 2.0)
     LIMIT 1`,
    target,
    holder,
    seconds,
  );
  return row && { position: Number(row.position), checkpoint: Number(row.checkpoint) };
}

/** Remembers what has arrived. A process that lost its lease meanwhile changes nothing: what it sent is sent again. */
export async function advanceShipment(
  prisma: PrismaClient,
  { target, holder, shipped }: { target: string; holder: string; shipped: Shipped },
): Promise<void> {
  await prisma.auditShipment.updateMany({
    where: { target, holder },
    data: { position: BigInt(shipped.position), checkpoint: BigInt(shipped.checkpoint) },
  });
}

/** How many sealed events each of the targets has not got yet. */
export async function readLag(
  prisma: PrismaClient,
  targets: readonly string[],
): Promise<{ target: string; events: number }[]> {
  const rows = await prisma.$queryRawUnsafe<{ target: string; events: bigint }[]>(
    `SELECT wanted.target, greatest(head.position - greatest(coalesce(shipped.position, 0), head.cut), 0) AS events
     FROM unnest($1::text[]) AS wanted (target)
     LEFT JOIN audit_shipments AS shipped USING (target)
     CROSS JOIN (
       SELECT coalesce(max(chain.position), 0) AS position,
         coalesce(max(cut.position), 0) AS cut
       FROM installation
       LEFT JOIN audit_chains AS chain ON chain.id = installation.id
       LEFT JOIN audit_statements AS cut ON cut.chain_id = installation.id AND cut.kind = 'cut'
     ) AS head`,
    targets,
  );
  return rows.map(({ target, events }) => ({ target, events: Number(events) }));
}

/** Lets another process send. */
export async function releaseShipments(prisma: PrismaClient, holder: string): Promise<void> {
  await prisma.auditShipment.updateMany({ where: { holder }, data: { holder: null, leasedUntil: new Date(0) } });
}
