import { EnvelopeError, openSecret, sealSecret } from "../../../crypto/envelope.js";
import type { DataKey } from "../../../crypto/key-ring.js";
import type { PrismaClient } from "../../../db/database.js";
import type { FactoryKeys } from "../../../secrets/factory-keys.js";
import type { KeyWork } from "../../tasks/run-task.js";
import {
  countSealedBefore,
  deleteRetiredDataKeys,
  factoryName,
  type Position,
  type ResealedVersion,
  readSealedBefore,
  replaceSealed,
  type SealedVersion,
} from "./store.js";

/**
 * Seals every version of a factory's secrets under its new data key, deleted secrets included, and then removes the old
 * one. Numbers, fingerprints and everything else of a version stay. A destroyed version has nothing to seal: it is only
 * moved, so that it does not keep the old key alive. Anyone who still seals under that in the meantime is found in another round,
 * and once it is removed can do so no more.
 */
export function resealWork(
  { prisma, factoryKeys }: { prisma: PrismaClient; factoryKeys: FactoryKeys },
  factoryId: string,
): KeyWork {
  const broken: string[] = [];
  let after: Position | undefined;
  factoryKeys.forget(factoryId);
  return {
    count: () => countSealedBefore(prisma, factoryId),
    async batch(most) {
      if (after === undefined) broken.length = 0;
      const versions = await readSealedBefore(prisma, factoryId, { after, limit: most });
      const isLast = versions.length < most;
      after = isLast ? undefined : versions.at(-1);
      if (versions.length === 0) return { moved: 0, isLast, broken };
      const { seal } = await factoryKeys.of(factoryId);
      const resealed: ResealedVersion[] = [];
      for (const was of versions) {
        const ciphertext = await sealAgain(factoryKeys, factoryId, seal, was);
        if (ciphertext) resealed.push({ was, ciphertext });
        else broken.push(`${was.secret} version ${was.version}${was.isDeleted ? " (deleted)" : ""}`);
      }
      return { moved: await replaceSealed(prisma, seal.id, resealed), isLast, broken };
    },
    async finish(transaction, count) {
      await deleteRetiredDataKeys(transaction, factoryId);
      const factory = { id: factoryId, name: await factoryName(transaction, factoryId) };
      return { factory, body: { action: "data-key.resealed", count } };
    },
  };
}

/** @returns `undefined` when it does not open */
async function sealAgain(
  factoryKeys: FactoryKeys,
  factoryId: string,
  seal: DataKey,
  { secretId, version, dataKeyId, ciphertext, isDestroyed }: SealedVersion,
): Promise<Buffer | undefined> {
  if (isDestroyed) return ciphertext;
  const place = { factoryId, secretId, version };
  try {
    const key = await factoryKeys.find(factoryId, dataKeyId);
    if (!key) return undefined;
    const value = openSecret(key, place, ciphertext);
    try {
      return sealSecret(seal, place, value);
    } finally {
      value.fill(0);
    }
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined;
    throw error;
  }
}
