import type { PrismaClient } from "../../../db/database.js";

/** A stored key that a key-encryption key has wrapped. `place` says where it belongs, as its kind needs it. */
export type StoredKey =
  | { kind: "data"; id: string; factoryId: string; purpose: string; wrapped: Buffer }
  | { kind: "signing"; id: string; purpose: string; alg: string; wrapped: Buffer }
  | { kind: "audit"; id: string; installationId: string; dataKeyId: string; wrapped: Buffer };

/** The same key, wrapped by another one. */
export type MovedKey = { key: StoredKey; keyEncryptionKeyId: string; wrapped: Buffer };

type Row = {
  kind: "data" | "signing" | "audit";
  id: string;
  owner: string;
  purpose: string;
  detail: string;
  wrapped: Uint8Array;
};

const wrappedBy = `(
  SELECT 'data' AS kind, id::text, factory_id::text AS owner, purpose, '' AS detail, wrapped
  FROM data_keys WHERE key_encryption_key_id = $1
  UNION ALL SELECT 'signing', id, '', purpose, alg, wrapped FROM signing_keys WHERE key_encryption_key_id = $1
  UNION ALL SELECT 'audit', k.id, i.id::text, '', k.data_key_id::text, k.wrapped
  FROM audit_keys k CROSS JOIN installation i WHERE k.key_encryption_key_id = $1
) AS stored`;

/** Some of what this key wraps, but for those of `except` (their ids). */
export async function readWrapped(
  prisma: PrismaClient,
  keyId: string,
  { limit, except }: { limit: number; except: readonly string[] },
): Promise<StoredKey[]> {
  const rows = await prisma.$queryRawUnsafe<Row[]>(
    `/* read-wrapped */ SELECT * FROM ${wrappedBy} WHERE NOT id = ANY($2::text[]) ORDER BY kind, id LIMIT $3`,
    keyId,
    except,
    limit,
  );
  return rows.map(storedKey);
}

/** Some of what this key wraps, others each time. */
export async function readSomeWrapped(prisma: PrismaClient, keyId: string, limit: number): Promise<StoredKey[]> {
  const statement = `/* read-some-wrapped */ SELECT * FROM ${wrappedBy} ORDER BY random() LIMIT $2`;
  return (await prisma.$queryRawUnsafe<Row[]>(statement, keyId, limit)).map(storedKey);
}

function storedKey({ kind, id, owner, purpose, detail, wrapped }: Row): StoredKey {
  const bytes = Buffer.from(wrapped);
  switch (kind) {
    case "data":
      return { kind, id, factoryId: owner, purpose, wrapped: bytes };
    case "signing":
      return { kind, id, purpose, alg: detail, wrapped: bytes };
    case "audit":
      return { kind, id, installationId: owner, dataKeyId: detail, wrapped: bytes };
    default:
      return kind satisfies never;
  }
}

const moving = "AS row(kind text, id text, was text, key_id text, wrapped text)";
const moved = (table: string, kind: string, id: string): string =>
  `UPDATE ${table} AS stored SET wrapped = decode(row.wrapped, 'base64'), key_encryption_key_id = row.key_id
   FROM jsonb_to_recordset($1::jsonb) ${moving}
   WHERE row.kind = '${kind}' AND stored.id = ${id} AND stored.wrapped = decode(row.was, 'base64') RETURNING 1`;

/**
 * Puts keys in the place of those that they were read as, all in one statement. One that was changed or removed
 * in the meantime is left alone.
 * @returns how many were put
 */
export async function replaceWrapped(prisma: PrismaClient, keys: readonly MovedKey[]): Promise<number> {
  const rows = keys.map(({ key, keyEncryptionKeyId, wrapped }) => ({
    kind: key.kind,
    id: key.id,
    was: key.wrapped.toString("base64"),
    key_id: keyEncryptionKeyId,
    wrapped: wrapped.toString("base64"),
  }));
  const [row] = await prisma.$queryRawUnsafe<{ moved: number }[]>(
    `/* replace-wrapped */ WITH data AS (${moved("data_keys", "data", "row.id::uuid")}),
       signing AS (${moved("signing_keys", "signing", "row.id")}),
       audit AS (${moved("audit_keys", "audit", "row.id")})
     SELECT ((SELECT count(*) FROM data) + (SELECT count(*) FROM signing) + (SELECT count(*) FROM audit))::int AS moved`,
    JSON.stringify(rows),
  );
  return row?.moved ?? 0;
}
