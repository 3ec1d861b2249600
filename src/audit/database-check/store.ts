import type { PrismaClient } from "../../db/database.js";
import { label } from "../chain/link.js";
import type { SignedStatement } from "../chain/statement.js";
import type { StatementKind } from "../chain/store.js";

/**
 * Why the chains do not vouch for an event.
 * - `disagreeing`: its columns, by which it is found, say something else than its sealed bytes.
 * - `unsealed`: a seal is missing although everything of its time has one: it was put in behind our back, or a seal removed.
 * - `ahead`: it has no seal and names a transaction that is still to come: no sealer would look at it for a long time.
 * - `foreign`: it has a seal in the chain of another factory.
 * - `misplaced`: its seal is not what the sealer makes of the seal before it, or that one's event came later.
 */
export type Finding = {
  id: bigint;
  reason: "disagreeing" | "unsealed" | "ahead" | "foreign" | "misplaced";
  chain: string | null;
};

/** Events of a page, and the first that the chains do not vouch for. `last` is `undefined` when the page is empty. */
export type PageCheck = { last: bigint | undefined; count: number; found: Finding | undefined };

/** The position and the hash of the cut behind which a chain goes on. Whether it is genuine is looked at elsewhere. */
const lastCutOf = (chain: string, condition: string): string =>
  `(SELECT position, decode(convert_from(statement, 'UTF8')::jsonb->>'hash', 'hex') AS hash FROM audit_statements
    WHERE ${condition} AND chain_id = ${chain} AND kind = 'cut' ORDER BY position DESC LIMIT 1)`;

/** `linkHash` in SQL, where the events are: `docs/audit.md`, "The chain". */
const linkHashSql = `sha256($3::bytea
  || int4send(16) || uuid_send(seal.chain_id)
  || int4send(32) || coalesce(seal.before_hash, cut.hash, decode(repeat('00', 32), 'hex'))
  || int4send(8) || int8send(seal.position) || int4send(8) || int8send(page.id)
  || int4send(16) || uuid_send(page.writer) || int4send(8) || int8send(page.sequence)
  || int4send(length(page.event)) || page.event)`;

/**
 * `placed` and `followed`: the seals of the page, each with the place of its event in the order of all, and with the hash
 * and that place of the seal before it. That is mostly in the page too, and looked up only where it is not.
 */
const checkPageSql = `/* check-audit-page */ WITH sealer AS MATERIALIZED (
    SELECT frontier, pg_snapshot_xmax(pg_current_snapshot()) AS next, (SELECT id FROM installation) AS installation
    FROM audit_sealer LIMIT 1
  ), page AS (
    SELECT id, factory_id, transaction, writer, sequence, event,
      (at, action, outcome, actor_kind, actor_id, factory_id::text, secret) IS DISTINCT FROM (
        (told->>'at')::timestamptz, told->>'action', told->>'outcome', told->'actor'->>'kind',
        nullif(told->'actor'->>'id', ''), told->'factory'->>'id', told->>'secret'
      ) AS is_disagreeing
    FROM (
      SELECT *, convert_from(event, 'UTF8')::jsonb AS told FROM audit_events WHERE id BETWEEN $1::bigint AND $2::bigint OFFSET 0
    ) AS e
  ), placed AS (
    SELECT *, max(position) FILTER (WHERE chain_id = installation) OVER event AS place, array_agg(chain_id) OVER event AS chains
    FROM audit_seals CROSS JOIN sealer WHERE event_id BETWEEN $1::bigint AND $2::bigint
    WINDOW event AS (PARTITION BY event_id)
  ), followed AS (
    SELECT placed.*, lag(position) OVER chain = position - 1 AS is_beside, lag(hash) OVER chain AS hash_beside,
      lag(place) OVER chain AS place_beside
    FROM placed WINDOW chain AS (PARTITION BY chain_id ORDER BY position)
  ), seal AS (
    SELECT event_id, chain_id, position, followed.hash, followed.place, chains,
      CASE WHEN is_beside THEN hash_beside ELSE before.hash END AS before_hash,
      CASE WHEN is_beside THEN place_beside ELSE before.place END AS before_place
    FROM followed LEFT JOIN LATERAL (
      SELECT hash, (SELECT position FROM audit_seals WHERE event_id = one.event_id AND chain_id = installation) AS place
      FROM audit_seals AS one
      WHERE is_beside IS NOT TRUE AND chain_id = followed.chain_id AND position = followed.position - 1 LIMIT 1
    ) AS before ON true
  ), judged AS (
    SELECT page.id, seal.chain_id AS chain, CASE
      WHEN is_disagreeing THEN 'disagreeing'
      -- Nothing is late or ahead in a database that was restored into another cluster, as the sealer calls it.
      WHEN lacks_seal AND (seal.chain_id IS NOT NULL OR transaction < frontier AND frontier <= next) THEN 'unsealed'
      WHEN lacks_seal AND transaction >= next AND frontier <= next THEN 'ahead'
      WHEN seal.chain_id IS NULL THEN NULL
      WHEN seal.chain_id <> installation AND seal.chain_id IS DISTINCT FROM factory_id THEN 'foreign'
      WHEN before_hash IS NULL AND seal.position <> coalesce(cut.position, 0) + 1
        OR before_hash IS NOT NULL AND (before_place < place) IS NOT TRUE
        OR seal.hash <> ${linkHashSql} THEN 'misplaced'
    END AS reason
    FROM page CROSS JOIN sealer LEFT JOIN seal ON seal.event_id = page.id
    CROSS JOIN LATERAL (
      SELECT place IS NULL OR factory_id IS NOT NULL AND NOT factory_id = ANY (chains) AS lacks_seal
    ) AS whole
    LEFT JOIN LATERAL ${lastCutOf("seal.chain_id", "before_hash IS NULL")} AS cut ON true
  )
  SELECT id, reason, chain FROM judged WHERE reason IS NOT NULL ORDER BY id LIMIT 1`;

/** Looks at the events from an id on, in the order of ids: at each with its seals, and at what those follow on. */
export async function checkPage(
  prisma: PrismaClient,
  { fromId, limit }: { fromId: bigint; limit: number },
): Promise<PageCheck> {
  const [page] = await prisma.$queryRawUnsafe<{ last: bigint | null; count: number }[]>(
    `/* end-of-audit-page */ SELECT max(id) AS last, count(*)::int AS count
     FROM (SELECT id FROM audit_events WHERE id >= $1::bigint ORDER BY id LIMIT $2) AS page`,
    fromId,
    limit,
  );
  if (page === undefined || page.last === null) return { last: undefined, count: 0, found: undefined };
  const [found] = await prisma.$queryRawUnsafe<Finding[]>(checkPageSql, fromId, page.last, label);
  return { last: page.last, count: page.count, found };
}

/** A chain whose end is noted otherwise than its last seal says, or has a seal of an event that is not there. */
export async function wrongEnd(prisma: PrismaClient): Promise<string | undefined> {
  const [row] = await prisma.$queryRawUnsafe<{ id: string }[]>(
    `/* wrong-end */ SELECT chain.id FROM audit_chains AS chain
     LEFT JOIN LATERAL (
       SELECT position, hash, event_id FROM audit_seals WHERE chain_id = chain.id ORDER BY position DESC LIMIT 1
     ) AS seal ON true
     LEFT JOIN LATERAL ${lastCutOf("chain.id", "seal.hash IS NULL")} AS cut ON true
     WHERE (chain.position, chain.hash) IS DISTINCT FROM (coalesce(seal.position, cut.position), coalesce(seal.hash, cut.hash))
       OR seal.event_id IS NOT NULL AND NOT EXISTS (SELECT FROM audit_events WHERE id = seal.event_id)
     LIMIT 1`,
  );
  return row?.id;
}

/** The ids of factories whose chains have begun. */
export async function factoryChains(prisma: PrismaClient): Promise<string[]> {
  const rows = await prisma.$queryRawUnsafe<{ id: string }[]>(
    "/* factory-chains */ SELECT id FROM audit_chains WHERE id <> (SELECT id FROM installation) ORDER BY id",
  );
  return rows.map(({ id }) => id);
}

/** A statement as it is filed, and the hash that its chain has at that position; `undefined` where a cut stands for it. */
export type FiledStatement = {
  kind: StatementKind;
  position: number;
  signed: SignedStatement;
  hash: Buffer | undefined;
};

/** The last cut of a chain, and the checkpoints behind it. */
export async function statementsOf(prisma: PrismaClient, chain: string): Promise<FiledStatement[]> {
  const rows = await prisma.$queryRawUnsafe<
    {
      kind: StatementKind;
      position: bigint;
      statement: Uint8Array;
      key_id: string;
      signature: Uint8Array;
      hash: Uint8Array | null;
    }[]
  >(
    `/* statements-of */ WITH cut AS (
       SELECT coalesce(max(position), 0) AS position FROM audit_statements WHERE chain_id = $1::uuid AND kind = 'cut'
     )
     SELECT told.kind, told.position, told.statement, told.key_id, told.signature, seal.hash
     FROM audit_statements AS told CROSS JOIN cut
     LEFT JOIN audit_seals AS seal ON seal.chain_id = told.chain_id AND seal.position = told.position
     WHERE told.chain_id = $1::uuid
       AND (told.kind = 'cut' AND told.position = cut.position OR told.kind = 'checkpoint' AND told.position > cut.position)
     ORDER BY told.position`,
    chain,
  );
  return rows.map((row) => ({
    kind: row.kind,
    position: Number(row.position),
    signed: {
      text: Buffer.from(row.statement).toString("utf8"),
      keyId: row.key_id,
      signature: Buffer.from(row.signature),
    },
    hash: row.hash === null ? undefined : Buffer.from(row.hash),
  }));
}
