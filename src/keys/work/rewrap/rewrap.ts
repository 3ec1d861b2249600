import { EnvelopeError } from "../../../crypto/envelope.js";
import type { KeyEncryptionKey } from "../../../crypto/key-encryption-key.js";
import type { KeyRing } from "../../../crypto/key-ring.js";
import { countWrapped } from "../../../crypto/open-key-ring.js";
import type { PrismaClient } from "../../../db/database.js";
import { openStoredKey, wrapStoredKey } from "../../store.js";
import type { KeyWork } from "../../tasks/run-task.js";
import { type MovedKey, readWrapped, replaceWrapped, type StoredKey } from "./store.js";

/**
 * Wraps everything that one key-encryption key wraps by the active one: data keys, signing keys, audit keys. The keys
 * themselves stay the same, so nothing that they have sealed or signed changes. Unwrapping and wrapping happen outside of
 * any transaction; a key is put in the place of the very bytes that it was read as.
 */
export function rewrapWork({ prisma, keys }: { prisma: PrismaClient; keys: KeyRing }, keyId: string): KeyWork {
  const broken: string[] = [];
  let isRoundOver = false;
  return {
    // Made the active one again in the meantime: what it wraps is where it belongs.
    count: async () => ((await keys.active()).id === keyId ? 0 : countWrapped(prisma, keyId)),
    async batch(most) {
      const by = await keys.active();
      if (by.id === keyId) return { moved: 0, isLast: true, broken: [] };
      if (isRoundOver) broken.length = 0;
      const stored = await readWrapped(prisma, keyId, { limit: most, except: broken });
      const moved: MovedKey[] = [];
      await Promise.all(
        stored.map(async (key) => {
          const again = await wrapAgain(keys, { from: keyId, by }, key);
          if (again) moved.push(again);
          else broken.push(key.id);
        }),
      );
      // The last moment in which nothing is lost: another key may have answered while these were wrapped.
      const isActiveStill = (await keys.active()).id === by.id;
      const count = moved.length === 0 || !isActiveStill ? 0 : await replaceWrapped(prisma, moved);
      isRoundOver = stored.length < most;
      return { moved: count, isLast: isRoundOver, broken };
    },
    finish: async (_transaction, count) => ({ body: { action: "key.rewrapped", keyId, count } }),
  };
}

/** @returns `undefined` when it does not open: then it was damaged before, and nothing is made worse */
async function wrapAgain(
  keys: KeyRing,
  { from, by }: { from: string; by: KeyEncryptionKey },
  key: StoredKey,
): Promise<MovedKey | undefined> {
  try {
    const bytes = await openStoredKey(keys, from, key);
    try {
      return await wrapStoredKey(keys, by, key, bytes);
    } finally {
      bytes.fill(0);
    }
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined;
    throw error;
  }
}
