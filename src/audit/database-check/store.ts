import type { PrismaClient } from "../../db/database.js";

/** Events of a page that the chains do not vouch for; ids, the smallest of each kind. */
export type PageCheck = {
  /** The last id of the page; `undefined` when it is empty. */
  last: bigint | undefined;
  /** Has no seal although everything of its time has: it was put in behind our back, or its seal was removed. */
  unsealed: bigint | undefined;
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
     ), sealed AS MATERIALIZED (
       SELECT CASE WHEN frontier > pg_snapshot_xmax(pg_current_snapshot()) THEN '0' ELSE frontier END AS frontier
       FROM audit_sealer
     ), judged AS (
       SELECT id,
         transaction < (SELECT frontier FROM sealed) AND (
           NOT EXISTS (SELECT FROM audit_seals WHERE event_id = page.id AND chain_id = (SELECT id FROM installation))
           OR factory_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM audit_seals WHERE event_id = page.id AND chain_id = page.factory_id)
         ) AS unsealed,
         (at, action, outcome, actor_kind, actor_id, factory_id::text, secret) IS DISTINCT FROM (
           (told->>'at')::timestamptz, told->>'action', told->>'outcome', told->'actor'->>'kind',
           nullif(told->'actor'->>'id', ''), told->'factory'->>'id', told->>'secret'
         ) AS disagreeing
       FROM page
     )
     SELECT max(id) AS last, min(id) FILTER (WHERE unsealed) AS unsealed, min(id) FILTER (WHERE disagreeing) AS disagreeing
     FROM judged`,
    afterId,
    limit,
  );
  return {
    last: row?.last ?? undefined,
    unsealed: row?.unsealed ?? undefined,
    disagreeing: row?.disagreeing ?? undefined,
  };
}
