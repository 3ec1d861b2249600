import { maxRelayTokenSeconds, maxSkewSeconds, maxTokenSeconds } from "../token-life.js";

/** What the keys of one purpose sign, and how they follow one another. */
export type KeyUse = {
  purpose: "api-access" | "federation" | "relay";
  alg: "ES256" | "RS256";
  /** How long a key is published before it signs. 0: only we verify with it, and we know it at once. */
  announceSeconds: number;
  /** How long a key that was replaced is still published. */
  verifySeconds: number;
};

/** How long a key signs before another takes its place, whatever its purpose. */
export const signsSeconds = 30 * 24 * 3600;

/** Access tokens. One that was signed in the last moment lives that long, on a replica whose clock is off by the skew. */
export const apiAccess = {
  purpose: "api-access",
  alg: "ES256",
  announceSeconds: 0,
  verifySeconds: maxTokenSeconds + 2 * maxSkewSeconds,
} as const satisfies KeyUse;

/**
 * What the clouds take in place of a secret. RS256 is what all three verify. They keep a fetched key set, and none says
 * in full for how long (a day is the longest that is known); two days are more than any of them. What the old key signed
 * lives five minutes.
 */
export const federation = {
  purpose: "federation",
  alg: "RS256",
  announceSeconds: 2 * 24 * 3600,
  verifySeconds: 3600,
} as const satisfies KeyUse;

/** What a client pulls with through the relay. Nobody else verifies them, so their keys are published nowhere. */
export const relay = {
  purpose: "relay",
  alg: "ES256",
  announceSeconds: 0,
  verifySeconds: maxRelayTokenSeconds + 2 * maxSkewSeconds,
} as const satisfies KeyUse;

/** Every use, by its purpose. */
export const keyUses: Readonly<Record<KeyUse["purpose"], KeyUse>> = {
  "api-access": apiAccess,
  federation,
  relay,
};
