import { AuditWriter } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import type { KeyRing } from "../../crypto/key-ring.js";
import type { PrismaClient } from "../../db/database.js";
import { createOperatorToken } from "../../identity/credentials/create-credential.js";
import {
  announceKey,
  type KeyUse,
  keyUses,
  rotateSigningKey as rotateKey,
  signingKeyOf,
} from "../../identity/oauth/keys/rotate-signing-key.js";
import { readSigningKeys, type StoredSigningKey } from "../../identity/oauth/keys/store.js";
import { claimInstallation } from "../../service/health.js";
import { openKeys } from "../../service/key-source.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { dataDirectoryOf, type ServerDeps, withDatabase } from "./with-database.js";

/**
 * Makes an operator token.
 * @returns the token
 * @throws CommandFailure as `withDatabase`, like all others here
 */
export function makeOperatorToken(deps: ServerDeps, name: string): Promise<string> {
  return withDatabase(deps, async ({ prisma, pool }) => {
    await claimInstallation(prisma);
    const audit = new AuditWriter(pool);
    return (await createOperatorToken({ prisma, audit }, { name, maker: undefined })).token;
  });
}

/** One line for each key that signs, will sign or still verifies: by purpose, newest first. */
export function signingKeyLines(deps: ServerDeps): Promise<string[]> {
  return withDatabase(deps, ({ prisma }) => listSigningKeys(prisma));
}

/** As `signingKeyLines`, of an open database. */
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
  /** Others may have the present key: it is taken out of use at once, whatever that breaks for a while. */
  isCompromised: boolean;
};

/**
 * Makes a new key, also while the server runs: every replica takes it within a second. A key that others cache is
 * published first and signs later; any other signs at once. What the old key has signed is valid until it expires.
 * @returns the id of the new key, and when it signs if that is later
 * @throws CommandFailure as `withDatabase`, and when another rotation is under way
 */
export function rotateSigningKey(deps: ServerDeps, input: ReplaceInput): Promise<{ keyId: string; signsFrom?: Date }> {
  return withDatabase(deps, async ({ prisma, pool }, settings) => {
    const keys = await openKeys(prisma, settings, dataDirectoryOf(settings));
    return replaceSigningKey({ prisma, audit: new AuditWriter(pool), keys }, input);
  });
}

/** As `rotateSigningKey`, of an open database. */
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
    throw refused("A new key is published already and signs later. To see when: npx factory-secrets signing-keys list");
  }
  const rotated = await rotateKey(deps, { ...rotation, replacedId: signing?.id, isLost: isCompromised });
  if (rotated) return { keyId: rotated.keyId };
  throw refused("Another rotation was faster. To see its key: npx factory-secrets signing-keys list");
}

function refused(sentence: string): CommandFailure {
  return new CommandFailure(exitCodes.failed, sentence);
}
