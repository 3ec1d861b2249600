import { type KeyUse, signsSeconds } from "./key-use.js";
import type { StoredSigningKey } from "./store.js";

/** What the keys of a use need to be up to date. */
export type KeyStep =
  | { do: "create" }
  | { do: "replace"; replacedId: string }
  | { do: "announce" }
  | { do: "promote"; waitingId: string; replacedId: string };

/** The key that signs; none before the first was made. */
export function signingKeyOf(keys: readonly StoredSigningKey[]): StoredSigningKey | undefined {
  return keys.find(({ verifyUntil }) => verifyUntil === undefined);
}

/**
 * Says what is due. A key signs for 30 days; where others cache it, the next one is published in time before, and
 * signs no sooner than it has been for as long as its use asks, however late that was noticed.
 * @returns `undefined` when nothing is
 */
export function nextStep(use: KeyUse, keys: readonly StoredSigningKey[], now: Date): KeyStep | undefined {
  const signing = signingKeyOf(keys);
  if (!signing) return { do: "create" };
  const waiting = keys.find(({ signsFrom }) => signsFrom !== undefined);
  if (waiting?.signsFrom) {
    return waiting.signsFrom <= now ? { do: "promote", waitingId: waiting.id, replacedId: signing.id } : undefined;
  }
  // A key that waited for its turn was made before it began to sign; that makes its time to sign shorter by as much.
  const ageSeconds = (now.getTime() - signing.createdAt.getTime()) / 1000;
  if (ageSeconds < signsSeconds - use.announceSeconds) return undefined;
  return use.announceSeconds > 0 ? { do: "announce" } : { do: "replace", replacedId: signing.id };
}
