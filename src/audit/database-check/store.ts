import type { PrismaClient } from "../../db/database.js";
import { cutHash } from "../chain/heads/store.js";
import type { SignedStatement } from "../chain/statement.js";
import type { Head, StatementKind } from "../chain/store.js";
import type { Finding } from "./finding.js";

/** Where the chains that were cut go on. Whether the cuts are genuine is looked at elsewhere. */
export async function lastCuts(prisma: PrismaClient): Promise<Map<string, Head>> {
  const rows = await prisma.$queryRawUnsafe<{ chain_id: string; position: bigint; statement: Uint8Array }[]>(
    `/* last-cuts */ SELECT DISTINCT ON (chain_id) chain_id, position, statement FROM audit_statements
     WHERE kind = 'cut' ORDER BY chain_id, position DESC`,
  );
  return new Map(
    rows.map(({ chain_id, position, statement }) => [
      chain_id,
      { position: Number(position), hash: cutHash(Buffer.from(statement)) },
    ]),
  );
}

/** An event that has a place in a chain where there is none: before position 1, or where it was cut. */
export async function wrongBeginning(prisma: PrismaClient, chain: string, after: number): Promise<Finding | undefined> {
  const [row] = await prisma.$queryRawUnsafe<{ event_id: bigint }[]>(
    `/* wrong-beginning */ SELECT event_id FROM audit_seals
     WHERE chain_id = $1::uuid AND position <= $2::bigint ORDER BY position LIMIT 1`,
    chain,
    after,
  );
  return row && { id: String(row.event_id), reason: "misplaced", chain };
}

/** Every chain that has a place, a statement or a noted end, whichever of them somebody removed. */
export async function namedChains(prisma: PrismaClient): Promise<string[]> {
  const rows = await prisma.$queryRawUnsafe<{ id: string }[]>(
    `/* named-chains */ SELECT id FROM audit_chains
     UNION SELECT DISTINCT chain_id FROM audit_seals UNION SELECT DISTINCT chain_id FROM audit_statements ORDER BY id`,
  );
  return rows.map(({ id }) => id);
}

type End = { id: string; position: bigint | null; hash: Uint8Array | null; empty: boolean };

/**
 * Looks for a chain whose end is not noted, or otherwise than its last place says, or its last cut where there is none.
 * @returns a sentence about the first one
 */
export async function wrongEnd(prisma: PrismaClient, cuts: ReadonlyMap<string, Head>): Promise<string | undefined> {
  const rows = await prisma.$queryRawUnsafe<End[]>(
    `/* wrong-end */ SELECT named.id, chain.position, chain.hash, seal.position IS NULL AS empty
     FROM unnest($1::uuid[]) AS named (id) LEFT JOIN audit_chains AS chain USING (id)
     LEFT JOIN LATERAL (
       SELECT position, hash FROM audit_seals WHERE chain_id = named.id ORDER BY position DESC LIMIT 1
     ) AS seal ON true
     WHERE chain.id IS NULL OR (chain.position, chain.hash) IS DISTINCT FROM (seal.position, seal.hash)
     ORDER BY named.id`,
    await namedChains(prisma),
  );
  for (const { id, position, hash, empty } of rows) {
    if (position === null || hash === null) return `the end of the chain ${id} is not noted (audit_chains)`;
    const cut = cuts.get(id);
    const isCut = empty && cut?.position === Number(position) && cut.hash.equals(hash);
    if (!isCut) return `the end of the chain ${id} is noted otherwise than its last event says`;
  }
  return undefined;
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
