import { randomBytes, randomUUID } from "node:crypto";
import type { AuditWriter } from "../../../audit/record.js";
import { databaseNow } from "../../../core/database-clock.js";
import { EnvelopeError, keyBytes } from "../../../crypto/envelope.js";
import type { KeyRing } from "../../../crypto/key-ring.js";
import type { PrismaClient } from "../../../db/database.js";
import { openPageToken, type PageTokens, sealPageToken } from "../../../http/page.js";
import { placeSigningKey, readSigningKeys, type StoredSigningKey } from "./store.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing };
type Opened = { id: string; bytes: Buffer };

const purpose = "page-tokens";
const alg = "A256GCM";
/** A token that does not open may be of a newer key: the stored one is looked at, but not for each bad token. */
const rereadMs = 10_000;

/**
 * The key that seals page tokens: one for the installation, wrapped by the key-encryption key like the signing keys that
 * it is stored with, made when the first list has a second page. It protects nothing that is stored, so one that does
 * not open is replaced.
 */
export function createPageTokens(deps: Deps): PageTokens {
  let opened: Promise<Opened> | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  const current = (): Promise<Opened> => {
    if (opened) return opened;
    readAtMs = performance.now();
    const opening = currentKey(deps);
    opened = opening;
    opening.catch(() => {
      if (opened === opening) opened = undefined;
    });
    return opening;
  };
  return {
    seal: async (scope, after) => sealPageToken((await current()).bytes, scope, after),
    async open(scope, token) {
      const key = await current();
      const after = openPageToken(key.bytes, scope, token);
      if (after || performance.now() - readAtMs < rereadMs) return after;
      readAtMs = performance.now();
      const [stored] = await storedKeys(deps.prisma);
      if (!stored || stored.id === key.id) return undefined;
      opened = undefined;
      return openPageToken((await current()).bytes, scope, token);
    },
  };
}

const storedKeys = async (prisma: PrismaClient): Promise<StoredSigningKey[]> =>
  (await readSigningKeys(prisma, purpose)).keys.filter(({ verifyUntil }) => verifyUntil === undefined);

async function currentKey(deps: Deps): Promise<Opened> {
  const [stored] = await storedKeys(deps.prisma);
  if (!stored) return makeKey(deps, undefined);
  try {
    return { id: stored.id, bytes: await deps.keys.unwrapSigningKey(stored) };
  } catch (error) {
    if (error instanceof EnvelopeError) return makeKey(deps, stored.id);
    throw error;
  }
}

/** Of several replicas that make one at once, the first one's key stands. */
async function makeKey({ prisma, audit, keys }: Deps, replacedId: string | undefined): Promise<Opened> {
  const id = randomUUID();
  const bytes = randomBytes(keyBytes);
  const wrapped = await keys.wrapSigningKey({ id, purpose, alg }, bytes);
  const now = databaseNow();
  const isPlaced = await prisma.$transaction(async (transaction) => {
    const replaced = replacedId === undefined ? undefined : { id: replacedId, verifyUntil: now };
    // A symmetric key has no public half.
    const key = { ...wrapped, publicKey: Buffer.alloc(0), createdAt: now };
    if (!(await placeSigningKey(transaction, key, replaced))) return false;
    const action = replaced ? "signing-key.replaced" : "signing-key.created";
    const actor = { kind: "service", id: "", name: "factory-secrets" } as const;
    await audit.writeWith(transaction, [
      { at: now, outcome: "allowed", actor, body: { action, keyId: id, purpose, alg } },
    ]);
    return true;
  });
  if (isPlaced) return { id, bytes };
  const [stored] = await storedKeys(prisma);
  if (!stored) throw new Error("a key of page tokens that was just made is there");
  return { id: stored.id, bytes: await keys.unwrapSigningKey(stored) };
}
