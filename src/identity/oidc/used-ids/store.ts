import { hash } from "node:crypto";
import type { PrismaClient } from "../../../db/database.js";

// A replica knows the time of the database to a fraction of a second, and some leeway is given to issuers: a token that
// is expired here may still be valid there.
const keepAfterExpiryMs = 120_000;

/**
 * Takes the id of a token, for good. Compare-and-set: of two presentations at the same instant, on any replicas,
 * exactly one gets `true`.
 * @param token - `expiresAt`: after it nobody takes the token anyway
 */
export async function takeTokenId(
  prisma: PrismaClient,
  factoryId: string,
  token: { issuer: string; tokenId: string; expiresAt: Date },
): Promise<boolean> {
  // As a list in JSON, so that no issuer and `jti` read like another's.
  const idHash = hash("sha256", JSON.stringify([token.issuer, token.tokenId]), "buffer");
  const taken = await prisma.$executeRawUnsafe(
    `/* take-token-id */ INSERT INTO used_token_ids (factory_id, id_hash, expires_at)
     VALUES ($1::uuid, $2::bytea, $3::timestamptz) ON CONFLICT DO NOTHING`,
    factoryId,
    idHash,
    new Date(token.expiresAt.getTime() + keepAfterExpiryMs).toISOString(),
  );
  return taken === 1;
}

/** Forgets the ids of tokens that have expired. */
export async function deleteExpiredTokenIds(prisma: PrismaClient): Promise<number> {
  return prisma.$executeRawUnsafe("DELETE FROM used_token_ids WHERE expires_at < now()");
}
