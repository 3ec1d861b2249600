import type { Problem } from "../../core/problem.js";
import type { Minted } from "../provider.js";
import { upstreamInvalid } from "./upstream-reply.js";

/** How long a token lives, as far as its registry says so. */
export type TokenLife = Pick<Minted, "expiresAt" | "usableUntil" | "lifeUnstated">;

// The last instant that the time format of replies and events can express.
const lastEndMs = Date.UTC(9999, 11, 31, 23, 59, 59);

/**
 * Decides how long a token lives from all ends that were stated for it. The earliest is what it is refreshed by; the
 * latest is what limits, the audit and the reply go by, since the token may work until then.
 * @param stated - in milliseconds since 1970; `undefined` and what is no number state nothing
 * @param assumedSeconds - how long it is used when no end is stated
 * @throws Problem `upstream-invalid` when the token has ended already
 */
export function lifeOf(
  upstream: string,
  nowMs: number,
  stated: readonly (number | undefined)[],
  assumedSeconds: number,
): TokenLife {
  const ends = stated.flatMap((end) => (end === undefined || Number.isNaN(end) ? [] : [Math.min(end, lastEndMs)]));
  if (ends.length === 0) return { expiresAt: new Date(nowMs + assumedSeconds * 1_000), lifeUnstated: true };
  const earliest = Math.min(...ends);
  const latest = Math.max(...ends);
  if (earliest <= nowMs) throw expiredOnArrival(upstream, earliest, nowMs);
  return { expiresAt: new Date(latest), ...(earliest < latest && { usableUntil: new Date(earliest) }) };
}

/** When a token, used by its earliest end, stops being handed out. */
export function usableUntil(token: Pick<Minted, "expiresAt" | "usableUntil">): Date {
  return token.usableUntil ?? token.expiresAt;
}

function expiredOnArrival(upstream: string, endMs: number, nowMs: number): Problem {
  const end = new Date(Math.max(endMs, 0)).toISOString();
  return upstreamInvalid(
    upstream,
    `the token it sent had already expired at ${end}, and the time here is ${new Date(nowMs).toISOString()}. Compare the clock of this service with that of ${upstream}`,
  );
}
