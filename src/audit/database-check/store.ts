import type { PrismaClient } from "../../db/database.js";
import { readEvent } from "../chain/read-event.js";
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
      { position: Number(position), hash: hashIn(Buffer.from(statement)) },
    ]),
  );
}

/** The hash that a cut names; none for what is no cut, and nothing follows on that. */
function hashIn(statement: Buffer): Buffer {
  const { event: told } = readEvent(statement);
  return typeof told?.hash === "string" ? Buffer.from(told.hash, "hex") : Buffer.alloc(0);
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

/** A chain whose end is noted otherwise than its last place says, or its last cut where there is none. */
export async function wrongEnd(prisma: PrismaClient, cuts: ReadonlyMap<string, Head>): Promise<string | undefined> {
  const rows = await prisma.$queryRawUnsafe<{ id: string; position: bigint; hash: Uint8Array; empty: boolean }[]>(
    `/* wrong-end */ SELECT chain.id, chain.position, chain.hash, seal.position IS NULL AS empty FROM audit_chains AS chain
     LEFT JOIN LATERAL (
       SELECT position, hash FROM audit_seals WHERE chain_id = chain.id ORDER BY position DESC LIMIT 1
     ) AS seal ON true
     WHERE (chain.position, chain.hash) IS DISTINCT FROM (seal.position, seal.hash) ORDER BY chain.id`,
  );
  const isWrong = ({ id, position, hash, empty }: (typeof rows)[number]): boolean => {
    const cut = cuts.get(id);
    return !empty || cut?.position !== Number(position) || !cut.hash.equals(hash);
  };
  return rows.find(isWrong)?.id;
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
