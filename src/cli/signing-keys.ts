import type { AuditWriter } from "../audit/record.js";
import { databaseNow } from "../core/database-clock.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import {
  announceKey,
  type KeyUse,
  keyUses,
  rotateSigningKey,
  signingKeyOf,
} from "../identity/oauth/keys/rotate-signing-key.js";

import { readSigningKeys, type StoredSigningKey } from "../identity/oauth/keys/store.js";
import { CommandFailure, exitCodes } from "./client/command-failure.js";

/** One line for each key that signs, waits for its turn or still verifies: by purpose, newest first. */
export async function listSigningKeys(prisma: PrismaClient): Promise<string[]> {
  const lines: string[] = [];
  for (const { purpose } of Object.values(keyUses)) {
    const { keys } = await readSigningKeys(prisma, purpose);
    lines.push(...keys.map(lineOf));
  }
  return lines;
}

function lineOf(key: StoredSigningKey): string {
  const { id, purpose, alg, createdAt } = key;
  return `${id}  ${purpose}  ${alg}  made ${createdAt.toISOString()}  ${stateOf(key)}`;
}

function stateOf({ signsFrom, verifyUntil }: StoredSigningKey): string {
  if (signsFrom) return `signs from ${signsFrom.toISOString()}`;
  return verifyUntil ? `verifies until ${verifyUntil.toISOString()}` : "signs";
}

export type ReplaceInput = {
  purpose: KeyUse["purpose"];
  /** Somebody else may have the present key: it is taken out of use at once, whatever that breaks for a while. */
  isCompromised: boolean;
};

/**
 * Makes a new key, also while the server runs: every replica takes it within a second. A key that others cache is
 * published first and signs later; any other signs at once, and what the old one has signed is valid until it expires.
 * @returns the id of the new key, and when it signs if that is later
 */
export async function replaceSigningKey(
  deps: { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing },
  { purpose, isCompromised }: ReplaceInput,
): Promise<{ keyId: string; signsFrom?: Date }> {
  const use = keyUses[purpose];
  const rotation = { use, now: databaseNow() };
  const { keys } = await readSigningKeys(deps.prisma, purpose);
  const signing = signingKeyOf(keys);
  if (signing && use.announceSeconds > 0 && !isCompromised) {
    const announced = await announceKey(deps, rotation);
    if (announced) return { keyId: announced.keyId, signsFrom: announced.at };
    throw refused("A new key waits for its turn already. It is in: npx factory-secrets signing-keys list");
  }
  const rotated = await rotateSigningKey(deps, { ...rotation, replacedId: signing?.id, isLost: isCompromised });
  if (rotated) return { keyId: rotated.keyId };
  throw refused("Another rotation was faster. Look with: npx factory-secrets signing-keys list");
}

function refused(sentence: string): CommandFailure {
  return new CommandFailure(exitCodes.failed, sentence);
}
