import type { Problem } from "../../core/problem.js";
import type { StatedSeconds } from "../../outbound/foreign-json.js";
import type { Minted } from "./provider.js";
import { upstreamInvalid } from "./upstream-reply.js";

/** How long a token lives, as far as its registry says so. */
export type TokenLife = Pick<Minted, "expiresAt" | "usableUntil" | "lifeUnstated">;

// The last instant that the time format of replies and events can express.
const lastEndMs = Date.UTC(9999, 11, 31, 23, 59, 59);

/** An end that is stated for a token, in milliseconds since 1970. `undefined` and anything but a number state nothing. */
export type StatedEnd = number | "unreadable" | undefined;

/** The end of what lives this long from `startMs` on. */
export function endAfter(startMs: number, seconds: StatedSeconds): StatedEnd {
  return typeof seconds === "number" ? startMs + seconds * 1_000 : seconds;
}

/**
 * Decides how long a token lives from all ends that were stated for it. The earliest is what it is refreshed by; the
 * latest is what limits, the audit and the reply go by, since the token may work until then.
 * An end that cannot be read may be later than every other, so it counts as a life that is not stated, whatever others
 * say.
 * @param assumedSeconds - how long it is used when no end is stated
 * @throws Problem `upstream-invalid` when the token has ended already
 */
export function lifeOf(
  upstream: string,
  nowMs: number,
  stated: readonly StatedEnd[],
  assumedSeconds: number,
): TokenLife {
  const ends = stated.flatMap((end) =>
    typeof end !== "number" || Number.isNaN(end) ? [] : [Math.min(end, lastEndMs)],
  );
  if (ends.length === 0) return { expiresAt: new Date(nowMs + assumedSeconds * 1_000), lifeUnstated: true };
  const earliest = Math.min(...ends);
  const latest = Math.max(...ends);
  if (earliest <= nowMs) throw expiredOnArrival(upstream, earliest, nowMs);
  return {
    expiresAt: new Date(latest),
    ...(earliest < latest && { usableUntil: new Date(earliest) }),
    ...(stated.includes("unreadable") && { lifeUnstated: true }),
  };
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
