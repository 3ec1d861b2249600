import type { EventBody } from "../../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../../audit/record.js";

import type { KeyRing } from "../../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";
import { type KeyUse, signsSeconds } from "./key-use.js";
import { makeKey } from "./make-key.js";
import { announceSigningKey, dropAnnouncedKey, placeSigningKey, promoteSigningKey, type Raised } from "./store.js";

export type RotateDeps = { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing };

/** The key that is meant, when, and who asked for it. */
export type Rotation = { use: KeyUse; now: Date; requested?: RequestedBy };

/** What a rotation did: the key it was about, and the raised generation, by which every replica notices. */
export type Rotated = { keyId: string; raised: Raised };

/**
 * Makes a key and puts it in the place of the one that signs, which goes on verifying until its last token has expired.
 * @param input.replacedId - the key that signs now; `undefined` when there is none yet
 * @param input.isLost - the old key is known to somebody else: it verifies no more, nor does one that waits for its turn
 * @returns `undefined` when another replica was faster: read again
 */
export async function rotateSigningKey(
  deps: RotateDeps,
  input: Rotation & { replacedId: string | undefined; isLost?: boolean },
): Promise<Rotated | undefined> {
  const { use, replacedId, now, isLost = false } = input;
  const made = await makeKey(deps.keys, use);
  const verifyUntil = isLost ? now : after(now, use.verifySeconds);
  const replaced = replacedId === undefined ? undefined : { id: replacedId, verifyUntil };
  return deps.prisma.$transaction(async (transaction) => {
    if (isLost) await dropAnnouncedKey(transaction, use.purpose);
    const raised = await placeSigningKey(transaction, { ...made, createdAt: now }, replaced);
    if (!raised) return undefined;
    await record(deps, transaction, replaced ? "signing-key.replaced" : "signing-key.created", made.id, input);
    return { keyId: made.id, raised };
  });
}

/**
 * Makes a key that is published from now on, and signs after `announceSeconds`.
 * @returns `undefined` when one waits already
 */
export async function announceKey(deps: RotateDeps, input: Rotation): Promise<(Rotated & { at: Date }) | undefined> {
  const { use, now } = input;
  const made = await makeKey(deps.keys, use);
  const signsFrom = after(now, use.announceSeconds);
  const waiting = { ...made, createdAt: now, signsFrom, verifyUntil: after(signsFrom, signsSeconds) };
  return deps.prisma.$transaction(async (transaction) => {
    const raised = await announceSigningKey(transaction, waiting);
    if (!raised) return undefined;
    await record(deps, transaction, "signing-key.announced", made.id, input);
    return { keyId: made.id, raised, at: signsFrom };
  });
}

/** Lets the key that waits sign in the place of the present one. @returns `undefined` when another replica was faster */
export async function promoteKey(
  deps: Pick<RotateDeps, "prisma" | "audit">,
  input: Rotation & { waitingId: string; replacedId: string },
): Promise<Rotated | undefined> {
  const { use, now, waitingId, replacedId } = input;
  const verifyUntil = after(now, use.verifySeconds);
  return deps.prisma.$transaction(async (transaction) => {
    const raised = await promoteSigningKey(transaction, use.purpose, waitingId, { id: replacedId, verifyUntil }, now);
    if (!raised) return undefined;
    await record(deps, transaction, "signing-key.replaced", waitingId, input);
    return { keyId: waitingId, raised };
  });
}

async function record(
  { audit }: Pick<RotateDeps, "audit">,
  transaction: Transaction,
  action: Extract<EventBody, { keyId: string; alg: string }>["action"],
  keyId: string,
  { use, now, requested }: Rotation,
): Promise<void> {
  const { purpose, alg } = use;
  await audit.writeWith(transaction, [
    {
      at: now,
      outcome: "allowed",
      actor: { kind: "service", id: "", name: "factory-secrets" },
      body: { action, keyId, purpose, alg },
      ...requested,
    },
  ]);
}

function after(time: Date, seconds: number): Date {
  return new Date(time.getTime() + seconds * 1000);
}
