import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Caller } from "../core/caller.js";
import { tooManyRequests, windowSeconds } from "./too-many-requests.js";

/**
 * How often one caller may ask for tokens of one kind. In memory, so that the hot path keeps its one statement: what the
 * limit protects is this replica, and the clouds have limits of their own.
 */
export class TokenRequests {
  readonly #limiter: RateLimiterMemory | undefined;
  readonly #tokens: string;
  readonly #onLimited: () => void;

  /**
   * @param deps.tokens - what they are called in the refusal
   * @param deps.perMinute - 0: no limit
   */
  constructor(deps: { tokens: string; perMinute: number; onLimited: () => void }) {
    const { perMinute } = deps;
    this.#tokens = deps.tokens;
    this.#limiter = perMinute === 0 ? undefined : new RateLimiterMemory({ points: perMinute, duration: windowSeconds });
    this.#onLimited = deps.onLimited;
  }

  /** Counts one. @throws Problem `too-many-requests` when that is one too many */
  async count(caller: Pick<Caller, "kind" | "id" | "actorId" | "name">): Promise<void> {
    if (!this.#limiter) return;
    try {
      await this.#limiter.consume(keyOf(caller));
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      this.#onLimited();
      throw tooManyRequests(`This caller asks for ${this.#tokens} too often.`, error.msBeforeNext);
    }
  }
}

// The sessions of one OAuth client count together. The jobs that one trust rule lets in do not: they are told apart by
// their `sub`.
function keyOf({ kind, id, actorId, name }: Pick<Caller, "kind" | "id" | "actorId" | "name">): string {
  const base = `${kind} ${actorId ?? id}`;
  return kind === "oidc" ? `${base} ${name}` : base;
}
