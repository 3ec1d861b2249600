import type { PrismaClient } from "../../db/database.js";

/** Events of a page that the chains do not vouch for; ids, the smallest of each kind. */
export type PageCheck = {
  /** The last id of the page; `undefined` when it is empty. */
  last: bigint | undefined;
  /** Has no seal although everything of its time has: it was put in behind our back, or its seal was removed. */
  unsealed: bigint | undefined;
  /** Has none and names a transaction that is still to come: no sealer would look at it for a long time. */
  ahead: bigint | undefined;
  /** Its columns, by which it is found, say something else than its sealed bytes. */
  disagreeing: bigint | undefined;
};

/** Looks at the events after an id, in the order of ids. */
export async function checkPage(
  prisma: PrismaClient,
  { afterId, limit }: { afterId: bigint; limit: number },
): Promise<PageCheck> {
  const [row] = await prisma.$queryRawUnsafe<Record<keyof PageCheck, bigint | null>[]>(
    `/* check-audit-page */ WITH page AS MATERIALIZED (
       SELECT *, convert_from(event, 'UTF8')::jsonb AS told FROM audit_events
       WHERE id > $1::bigint ORDER BY id LIMIT $2
     ), sealer AS MATERIALIZED (
       SELECT frontier, pg_snapshot_xmax(pg_current_snapshot()) AS next FROM audit_sealer
     ), judged AS (
       SELECT id, (
           NOT EXISTS (SELECT FROM audit_seals WHERE event_id = page.id AND chain_id = (SELECT id FROM installation))
           OR factory_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM audit_seals WHERE event_id = page.id AND chain_id = page.factory_id)
         ) AS is_unsealed,
         -- Nothing is late or ahead in a database that was restored into another cluster, as the sealer calls it.
         transaction < frontier AND frontier <= next AS is_late,
         transaction >= next AND frontier <= next AS is_ahead,
         (at, action, outcome, actor_kind, actor_id, factory_id::text, secret) IS DISTINCT FROM (
           (told->>'at')::timestamptz, told->>'action', told->>'outcome', told->'actor'->>'kind',
           nullif(told->'actor'->>'id', ''), told->'factory'->>'id', told->>'secret'
         ) AS is_disagreeing
       FROM page, sealer
     )
     SELECT max(id) AS last, min(id) FILTER (WHERE is_unsealed AND is_late) AS unsealed,
       min(id) FILTER (WHERE is_unsealed AND is_ahead) AS ahead, min(id) FILTER (WHERE is_disagreeing) AS disagreeing
     FROM judged`,
    afterId,
    limit,
  );
  return {
    last: row?.last ?? undefined,
    unsealed: row?.unsealed ?? undefined,
    ahead: row?.ahead ?? undefined,
    disagreeing: row?.disagreeing ?? undefined,
  };
}
