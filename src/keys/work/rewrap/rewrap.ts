import { EnvelopeError } from "../../../crypto/envelope.js";
import type { KeyRing } from "../../../crypto/key-ring.js";
import { countWrapped } from "../../../crypto/store.js";
import type { PrismaClient } from "../../../db/database.js";
import type { KeyWork } from "../../tasks/run-task.js";
import { type MovedKey, readWrapped, replaceWrapped, type StoredKey } from "./store.js";

/**
 * Wraps everything that one key-encryption key wraps by the active one: data keys, signing keys, audit keys. The keys
 * themselves stay the same, so nothing that they have sealed or signed changes. Unwrapping and wrapping happen outside of
 * any transaction; a key is put in the place of the very bytes that it was read as.
 */
export function rewrapWork({ prisma, keys }: { prisma: PrismaClient; keys: KeyRing }, keyId: string): KeyWork {
  const broken: string[] = [];
  // Made the active one again meanwhile: what it wraps is where it belongs.
  const isActive = async (): Promise<boolean> => (await keys.active()).id === keyId;
  return {
    count: async () => ((await isActive()) ? 0 : countWrapped(prisma, keyId)),
    async batch(most) {
      if (await isActive()) return { moved: 0, isLast: true, broken: [] };
      const stored = await readWrapped(prisma, keyId, { limit: most, except: broken });
      const moved: MovedKey[] = [];
      await Promise.all(
        stored.map(async (key) => {
          const again = await wrapAgain(keys, keyId, key);
          if (again) moved.push(again);
          else broken.push(key.id);
        }),
      );
      const count = moved.length === 0 ? 0 : await replaceWrapped(prisma, moved);
      return { moved: count, isLast: stored.length < most, broken };
    },
    finish: async (_transaction, count) => ({ body: { action: "key.rewrapped", keyId, count } }),
  };
}

/** @returns `undefined` when it does not open: then it was damaged before, and nothing is made worse */
async function wrapAgain(keys: KeyRing, keyId: string, key: StoredKey): Promise<MovedKey | undefined> {
  try {
    const { keyEncryptionKeyId, wrapped } = await rewrapped(keys, keyId, key);
    return { key, keyEncryptionKeyId, wrapped };
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined;
    throw error;
  }
}

async function rewrapped(keys: KeyRing, keyEncryptionKeyId: string, key: StoredKey) {
  const { wrapped } = key;
  switch (key.kind) {
    case "signing": {
      const { id, purpose, alg } = key;
      const bytes = await keys.unwrapSigningKey({ id, purpose, alg, keyEncryptionKeyId, wrapped });
      return erased(bytes, () => keys.wrapSigningKey({ id, purpose, alg }, bytes));
    }
    case "data":
    case "audit": {
      const owner = key.kind === "data" ? key.factoryId : key.installationId;
      const id = key.kind === "data" ? key.id : key.dataKeyId;
      const purpose =
        key.kind === "audit" ? "audit-checkpoint" : key.purpose === "fingerprint" ? "fingerprint" : "secret";
      const { bytes } = await keys.unwrap(owner, { id, purpose, keyEncryptionKeyId, wrapped });
      return erased(bytes, () => keys.wrapDataKey(owner, { id, purpose, bytes }));
    }
    default:
      return key satisfies never;
  }
}

async function erased<T>(bytes: Buffer, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    bytes.fill(0);
  }
}
