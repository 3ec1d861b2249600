import type { Caller } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";

/**
 * How long a credential that is asked for may live.
 * @param asked - `undefined` for as long as its maker
 * @throws Problem `invalid-request` for a time that is past; `forbidden` for one after its maker's own
 */
export function grantedExpiry(maker: Pick<Caller, "expiresAt">, asked: Date | undefined, now: Date): Date | undefined {
  if (asked && asked <= now) {
    throw new Problem("invalid-request", "/expiresAt: lies in the past", {
      invalid: [{ at: "/expiresAt", reason: "lies in the past" }],
    });
  }
  if (maker.expiresAt && asked && asked > maker.expiresAt) {
    throw new Problem(
      "forbidden",
      `A token never outlives its maker, which expires at ${maker.expiresAt.toISOString()}.`,
    );
  }
  return asked ?? maker.expiresAt;
}
