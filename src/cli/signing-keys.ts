import type { AuditWriter } from "../audit/record.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import { apiAccess, rotateSigningKey } from "../identity/oauth/keys/rotate-signing-key.js";
import { readSigningKeys } from "../identity/oauth/keys/store.js";

/** One line for each key that signs or still verifies access tokens, newest first. */
export async function listSigningKeys(prisma: PrismaClient): Promise<string[]> {
  const { keys } = await readSigningKeys(prisma, apiAccess.purpose);
  return keys.map(({ id, alg, createdAt, verifyUntil }) => {
    const state = verifyUntil ? `verifies until ${verifyUntil.toISOString()}` : "signs";
    return `${id}  ${alg}  made ${createdAt.toISOString()}  ${state}`;
  });
}

/**
 * Makes a new key sign access tokens, also while the server runs: every replica takes it within a second. What the old
 * one has signed is valid until it expires.
 * @returns the id of the key that signs now
 */
export async function replaceSigningKey(deps: {
  prisma: PrismaClient;
  audit: AuditWriter;
  keys: KeyRing;
}): Promise<string> {
  const { keys } = await readSigningKeys(deps.prisma, apiAccess.purpose);
  const replacedId = keys.find(({ verifyUntil }) => verifyUntil === undefined)?.id;
  const rotated = await rotateSigningKey(deps, { replacedId, now: new Date() });
  if (!rotated) throw new Error("Another rotation was faster. Look with: npx factory-secrets signing-keys list");
  return rotated.keyId;
}
