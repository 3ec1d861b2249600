import { LRUCache } from "lru-cache";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { atMost } from "../core/at-most.js";
import type { Problem } from "../core/problem.js";
import type { LimitedAddress } from "./limited-address.js";
import { tooManyRequests, windowSeconds } from "./too-many-requests.js";

/** A flood from many addresses must not become a flood of memory: the one that was quiet longest is forgotten. */
const maxAddresses = 20_000;

/**
 * Counts failed authentications by address. In memory: a write to the database for each would be the flood's own work,
 * and a sender who spreads over n replicas gets n times as many failures, which is still few.
 */
export class AuthenticationFailures {
  readonly #limitedAddress: LimitedAddress;
  readonly #perMinute: number;
  readonly #counts: RateLimiterMemory;
  readonly #counted: LRUCache<string, true>;
  readonly #blocked = new LRUCache<string, true>({ ...atMost(maxAddresses), ttl: 1, ttlAutopurge: true, perf: Date });

  /** @param deps.perMinute - 0: no limit */
  constructor(deps: { perMinute: number; limitedAddress: LimitedAddress }) {
    this.#limitedAddress = deps.limitedAddress;
    this.#perMinute = deps.perMinute;
    const counts = new RateLimiterMemory({ points: deps.perMinute, duration: windowSeconds });
    this.#counts = counts;
    this.#counted = new LRUCache({ ...atMost(maxAddresses), dispose: (_value, key) => void counts.delete(key) });
  }

  /** Counts one. From the last that is allowed on, the address is refused until its minute is over. */
  async failed(address: string): Promise<void> {
    const key = this.#perMinute === 0 ? undefined : this.#limitedAddress(address);
    if (key === undefined) return;
    // `get` marks it as used without disposing of it, as `set` would.
    if (!this.#counted.get(key)) this.#counted.set(key, true);
    const { consumedPoints, msBeforeNext } = await this.#counts.penalty(key);
    if (consumedPoints >= this.#perMinute) this.#blocked.set(key, true, { ttl: Math.max(1, msBeforeNext) });
  }

  /** Whether no address is refused now: then no one need find out what the address of a request is. */
  get isQuiet(): boolean {
    return this.#blocked.size === 0;
  }

  /** What an address is answered that has failed too often, or `undefined` for all others. */
  refusalOf(address: string): Problem | undefined {
    const key = this.#limitedAddress(address);
    const waitMs = key === undefined ? 0 : this.#blocked.getRemainingTTL(key);
    if (waitMs <= 0) return undefined;
    return tooManyRequests("Too many requests with no valid credential have come from this address.", waitMs);
  }
}
