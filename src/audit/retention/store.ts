import type { PrismaClient, Transaction } from "../../db/database.js";
import type { SignedStatement } from "../chain/statement.js";

/** A chain up to one of its positions, whose hash this is. */
export type Part = { chain: string; position: number; hash: Buffer };

/** Where every chain is cut when the installation's is cut at `through`: their order is one. */
export async function partsOfCut(
  prisma: PrismaClient,
  installation: string,
  { after, through }: { after: number; through: number },
): Promise<Part[]> {
  const rows = await prisma.$queryRawUnsafe<{ chain_id: string; position: bigint; hash: Uint8Array }[]>(
    `/* parts-of-cut */ SELECT DISTINCT ON (seal.chain_id) seal.chain_id, seal.position, seal.hash
     FROM audit_seals AS place JOIN audit_seals AS seal ON seal.event_id = place.event_id
     WHERE place.chain_id = $1::uuid AND place.position > $2::bigint AND place.position <= $3::bigint
     ORDER BY seal.chain_id, seal.position DESC`,
    installation,
    after,
    through,
  );
  return rows.map((row) => ({ chain: row.chain_id, position: Number(row.position), hash: Buffer.from(row.hash) }));
}

/** Writes the signed cuts and removes what they cover. @returns how many events went */
export async function cutEvents(
  transaction: Transaction,
  cuts: readonly { part: Part; signed: SignedStatement }[],
): Promise<number> {
  const rows = cuts.map(({ part, signed }) => ({
    chain_id: part.chain,
    position: part.position,
    hash: part.hash.toString("hex"),
    statement: Buffer.from(signed.text, "utf8").toString("hex"),
    key_id: signed.keyId,
    signature: signed.signature.toString("hex"),
  }));
  const [row] = await transaction.$queryRawUnsafe<{ removed: number }[]>(
    "SELECT cut_audit($1::jsonb) AS removed",
    JSON.stringify(rows),
  );
  return row?.removed ?? 0;
}
