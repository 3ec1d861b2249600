import type { WrappedDataKey } from "../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Link } from "./link.js";
import type { SignedStatement } from "./statement.js";

/** The end of a chain. Position 0 is a chain without a link. */
export type Head = { position: number; hash: Buffer };

/** A committed event that has no place in a chain yet. */
export type UnsealedEvent = {
  id: bigint;
  factory_id: string | null;
  writer: string;
  sequence: bigint;
  event: Uint8Array;
};

/** A place in a chain, as the statement that writes it takes it. */
export type SealRow = { chain_id: string; position: number; event_id: string; hash: string };

/** An event at its place in a chain. */
export type SealedEvent = Omit<Link, "chain"> & { hash: Buffer };

type SealedRow = {
  position: bigint;
  hash: Uint8Array;
  id: bigint;
  writer: string;
  sequence: bigint;
  event: Uint8Array;
};

export type AuditKey = { id: string; publicKey: Buffer; wrappedKey: Omit<WrappedDataKey, "purpose"> };

export type StatementKind = "checkpoint" | "cut";

// A database that was restored into another cluster has a frontier that no transaction here has reached: whatever it
// brought along is committed, and what has no seal is looked for once from the beginning.
const moment = `moment AS MATERIALIZED (
    SELECT pg_snapshot_xmin(now) AS xmin, pg_snapshot_xmax(now) AS xmax, frontier, frontier > pg_snapshot_xmax(now) AS restored
    FROM pg_current_snapshot() AS now, audit_sealer
  )`;

/** The id of this installation, which is that of its chain too; `undefined` in the first moments of its life. */
export async function installationId(prisma: PrismaClient): Promise<string | undefined> {
  return (await prisma.installation.findFirst({ select: { id: true } }))?.id;
}

/** Whether there may be something to seal. Takes no lock and no transaction id: it is asked every second. */
export async function hasUnsealed(prisma: PrismaClient): Promise<boolean> {
  const [row] = await prisma.$queryRawUnsafe<{ found: boolean }[]>(
    `/* has-unsealed */ WITH ${moment}
     SELECT restored OR EXISTS (
       SELECT FROM audit_events
       WHERE transaction >= (SELECT frontier FROM moment) AND transaction < (SELECT xmin FROM moment)
     ) AS found FROM moment`,
  );
  return row?.found === true;
}

/** Makes this transaction the sealer. @returns false when another is, and `wait` was not asked for */
export async function becomeSealer(transaction: Transaction, { wait }: { wait: boolean }): Promise<boolean> {
  const rows = await transaction.$queryRawUnsafe<unknown[]>(
    `SELECT singleton FROM audit_sealer FOR UPDATE ${wait ? "" : "SKIP LOCKED"}`,
  );
  return rows.length === 1;
}

/**
 * The next events to seal, in the order of the chain: by transaction, then id. Only of transactions before the oldest
 * that is still running, so that none can commit into this order later.
 */
export async function nextUnsealed(transaction: Transaction, limit: number): Promise<UnsealedEvent[]> {
  return transaction.$queryRawUnsafe<UnsealedEvent[]>(
    `/* next-unsealed */ WITH ${moment}
     SELECT id, factory_id, writer, sequence, event FROM audit_events AS e
     WHERE transaction >= (SELECT CASE WHEN restored THEN '0' ELSE frontier END FROM moment)
       AND (transaction < (SELECT xmin FROM moment)
         OR (SELECT restored FROM moment) AND transaction >= (SELECT xmax FROM moment))
       AND NOT EXISTS (SELECT FROM audit_seals WHERE event_id = e.id)
     ORDER BY transaction, id LIMIT $1`,
    limit,
  );
}

/** Where the named chains end, for those that have begun. */
export async function headsOf(
  client: PrismaClient | Transaction,
  chains: readonly string[],
): Promise<Map<string, Head>> {
  const rows = await client.auditChain.findMany({ where: { id: { in: [...chains] } } });
  return new Map(rows.map((row) => [row.id, { position: Number(row.position), hash: Buffer.from(row.hash) }]));
}

/** Appends to the chains, and moves their ends. */
export async function insertSeals(
  transaction: Transaction,
  seals: readonly SealRow[],
  heads: ReadonlyMap<string, Head>,
): Promise<void> {
  await transaction.$executeRawUnsafe(
    `/* insert-seals */ INSERT INTO audit_seals (chain_id, position, event_id, hash)
     SELECT chain_id, position, event_id, decode(hash, 'hex')
     FROM jsonb_to_recordset($1::jsonb) AS seal(chain_id uuid, position bigint, event_id bigint, hash text)`,
    JSON.stringify(seals),
  );
  const ends = [...heads].map(([id, { position, hash }]) => ({ id, position, hash: hash.toString("hex") }));
  await transaction.$executeRawUnsafe(
    `/* move-heads */ INSERT INTO audit_chains (id, position, hash)
     SELECT id, position, decode(hash, 'hex') FROM jsonb_to_recordset($1::jsonb) AS head(id uuid, position bigint, hash text)
     ON CONFLICT (id) DO UPDATE SET position = excluded.position, hash = excluded.hash`,
    JSON.stringify(ends),
  );
}

/**
 * Says that every event of a transaction before the oldest one that runs now is sealed.
 * @returns false when more has become ready since: the frontier stays
 */
export async function advanceFrontier(transaction: Transaction): Promise<boolean> {
  const moved = await transaction.$executeRawUnsafe(
    `/* advance-frontier */ WITH ${moment}
     UPDATE audit_sealer SET frontier = (SELECT xmin FROM moment)
     WHERE NOT EXISTS (
       SELECT FROM audit_events AS e
       WHERE transaction >= (SELECT CASE WHEN restored THEN '0' ELSE frontier END FROM moment)
         AND transaction < (SELECT xmin FROM moment)
         AND NOT EXISTS (SELECT FROM audit_seals WHERE event_id = e.id)
     )`,
  );
  return moved === 1;
}

/** Events of a chain with their places, in order. One that was removed behind our back is not among them. */
export async function sealedEvents(
  prisma: PrismaClient,
  chain: string,
  { after, through, limit }: { after: number; through: number; limit: number },
): Promise<SealedEvent[]> {
  const rows = await prisma.$queryRawUnsafe<SealedRow[]>(
    `/* sealed-events */ SELECT seal.position, seal.hash, e.id, e.writer, e.sequence, e.event
     FROM audit_seals AS seal JOIN audit_events AS e ON e.id = seal.event_id
     WHERE seal.chain_id = $1::uuid AND seal.position > $2::bigint AND seal.position <= $3::bigint
     ORDER BY seal.position LIMIT $4`,
    chain,
    after,
    through,
    limit,
  );
  return rows.map((row) => ({
    position: Number(row.position),
    hash: Buffer.from(row.hash),
    eventId: String(row.id),
    writer: row.writer,
    sequence: Number(row.sequence),
    event: Buffer.from(row.event),
  }));
}

/** The newest statement of a kind about a chain. */
export async function lastStatement(
  prisma: PrismaClient,
  chain: string,
  kind: StatementKind,
): Promise<(SignedStatement & { position: number }) | undefined> {
  const row = await prisma.auditStatement.findFirst({
    where: { chainId: chain, kind },
    orderBy: { position: "desc" },
  });
  return row ? { ...signedStatement(row), position: Number(row.position) } : undefined;
}

/** Checkpoints of a chain after one position, up to and including another, in order. */
export async function checkpointsWithin(
  prisma: PrismaClient,
  chain: string,
  { after, through }: { after: number; through: number },
): Promise<(SignedStatement & { position: number })[]> {
  const rows = await prisma.auditStatement.findMany({
    where: { chainId: chain, kind: "checkpoint", position: { gt: after, lte: through } },
    orderBy: { position: "asc" },
  });
  return rows.map((row) => ({ ...signedStatement(row), position: Number(row.position) }));
}

/** Keeps a checkpoint. Of several replicas that sign the same end, the first one's stands. */
export async function insertCheckpoint(
  prisma: PrismaClient,
  { chain, position, signed }: { chain: string; position: number; signed: SignedStatement },
): Promise<void> {
  await prisma.auditStatement.createMany({
    data: {
      chainId: chain,
      kind: "checkpoint",
      position: BigInt(position),
      statement: new Uint8Array(Buffer.from(signed.text, "utf8")),
      keyId: signed.keyId,
      signature: new Uint8Array(signed.signature),
    },
    skipDuplicates: true,
  });
}

/** The key that signs now, if one was made. */
export async function activeKey(prisma: PrismaClient): Promise<AuditKey | undefined> {
  const row = await prisma.auditKey.findFirst({ where: { state: "active" } });
  if (row === null) return undefined;
  const { id, dataKeyId, keyEncryptionKeyId } = row;
  const wrappedKey = { id: dataKeyId, keyEncryptionKeyId, wrapped: Buffer.from(row.wrapped) };
  return { id, publicKey: Buffer.from(row.publicKey), wrappedKey };
}

/** @returns false when another was first */
export async function insertKey(transaction: Transaction, { id, publicKey, wrappedKey }: AuditKey): Promise<boolean> {
  const inserted = await transaction.auditKey.createMany({
    data: {
      id,
      publicKey: new Uint8Array(publicKey),
      dataKeyId: wrappedKey.id,
      keyEncryptionKeyId: wrappedKey.keyEncryptionKeyId,
      wrapped: new Uint8Array(wrappedKey.wrapped),
    },
    skipDuplicates: true,
  });
  return inserted.count === 1;
}

/** Every public key that ever signed, the oldest first. */
export async function publicKeys(prisma: PrismaClient) {
  const rows = await prisma.auditKey.findMany({
    select: { id: true, state: true, publicKey: true, createdAt: true },
    orderBy: { createdAt: "asc" },
  });
  return rows.map((row) => ({ ...row, publicKey: Buffer.from(row.publicKey) }));
}

function signedStatement(row: { statement: Uint8Array; keyId: string; signature: Uint8Array }): SignedStatement {
  return {
    text: Buffer.from(row.statement).toString("utf8"),
    keyId: row.keyId,
    signature: Buffer.from(row.signature),
  };
}
