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

/** Where an event stands in the order of all, for a seal in another chain than the installation's. */
const placeOf = (event: string): string =>
  `(SELECT position FROM audit_seals
    WHERE seal.chain_id <> installation AND event_id = ${event} AND chain_id = installation LIMIT 1)`;

/** `linkHash` in SQL, where the events are: `docs/audit.md`, "The chain". */
const linkHashSql = `sha256($3::bytea
  || int4send(16) || uuid_send(seal.chain_id)
  || int4send(32) || coalesce(before.hash, cut.hash, decode(repeat('00', 32), 'hex'))
  || int4send(8) || int8send(seal.position) || int4send(8) || int8send(page.id)
  || int4send(16) || uuid_send(page.writer) || int4send(8) || int8send(page.sequence)
  || int4send(length(page.event)) || page.event)`;

// LIMIT and OFFSET 0 keep Postgres from reading all seals into a hash for each page: it has to look them up.
const checkPageSql = `/* check-audit-page */ WITH sealer AS MATERIALIZED (
    SELECT frontier, pg_snapshot_xmax(pg_current_snapshot()) AS next, (SELECT id FROM installation) AS installation
    FROM audit_sealer LIMIT 1
  ), page AS MATERIALIZED (
    SELECT id, factory_id, transaction, writer, sequence, event,
      (at, action, outcome, actor_kind, actor_id, factory_id::text, secret) IS DISTINCT FROM (
        (told->>'at')::timestamptz, told->>'action', told->>'outcome', told->'actor'->>'kind',
        nullif(told->'actor'->>'id', ''), told->'factory'->>'id', told->>'secret'
      ) AS is_disagreeing,
      (SELECT count(*) FROM audit_seals WHERE event_id = id AND chain_id IN ((SELECT installation FROM sealer), factory_id))
        < CASE WHEN factory_id IS NULL THEN 1 ELSE 2 END AS lacks_seal
    FROM (
      SELECT *, convert_from(event, 'UTF8')::jsonb AS told FROM audit_events WHERE id > $1::bigint ORDER BY id LIMIT $2
    ) AS e
  ), judged AS (
    SELECT page.id, seal.chain_id AS chain, CASE
      WHEN is_disagreeing THEN 'disagreeing'
      -- Nothing is late or ahead in a database that was restored into another cluster, as the sealer calls it.
      WHEN lacks_seal AND (seal.chain_id IS NOT NULL OR transaction < frontier AND frontier <= next) THEN 'unsealed'
      WHEN lacks_seal AND transaction >= next AND frontier <= next THEN 'ahead'
      WHEN seal.chain_id IS NULL THEN NULL
      WHEN seal.chain_id <> installation AND seal.chain_id IS DISTINCT FROM factory_id THEN 'foreign'
      WHEN before.hash IS NULL AND seal.position <> coalesce(cut.position, 0) + 1
        OR before.hash IS NOT NULL AND seal.chain_id <> installation AND (place_before.position < place.position) IS NOT TRUE
        OR seal.hash <> ${linkHashSql} THEN 'misplaced'
    END AS reason
    FROM page CROSS JOIN sealer
    LEFT JOIN LATERAL (SELECT * FROM audit_seals WHERE event_id = page.id OFFSET 0) AS seal ON true
    LEFT JOIN LATERAL (
      SELECT hash, event_id FROM audit_seals WHERE chain_id = seal.chain_id AND position = seal.position - 1 LIMIT 1
    ) AS before ON true
    LEFT JOIN LATERAL ${placeOf("page.id")} AS place ON true
    LEFT JOIN LATERAL ${placeOf("before.event_id")} AS place_before ON true
    LEFT JOIN LATERAL ${lastCutOf("seal.chain_id", "before.hash IS NULL")} AS cut ON true
  )
  SELECT (SELECT max(id) FROM page) AS last, (SELECT count(*)::int FROM page) AS count, found.*
  FROM (VALUES (1)) AS one
  LEFT JOIN (SELECT * FROM judged WHERE reason IS NOT NULL ORDER BY id LIMIT 1) AS found ON true`;

/** Looks at the events after an id, in the order of ids: at each with its seals, and at what those follow on. */
export async function checkPage(
  prisma: PrismaClient,
  { afterId, limit }: { afterId: bigint; limit: number },
): Promise<PageCheck> {
  type Row = { last: bigint | null; count: number } & { [Member in keyof Finding]: Finding[Member] | null };
  const [row] = await prisma.$queryRawUnsafe<Row[]>(checkPageSql, afterId, limit, label);
  if (row === undefined) return { last: undefined, count: 0, found: undefined };
  const { last, count, id, reason, chain } = row;
  return { last: last ?? undefined, count, found: id !== null && reason !== null ? { id, reason, chain } : undefined };
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
