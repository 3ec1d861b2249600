import { LRUCache } from "lru-cache";
import { RateLimiterMemory, RateLimiterPostgres, type RateLimiterRes } from "rate-limiter-flexible";
import { atMost } from "../core/at-most.js";
import type { Database } from "../db/database.js";
import { byDatabaseClock } from "../db/measure-clock.js";
import type { LimitedAddress } from "./limited-address.js";
import { tooManyRequests, windowSeconds } from "./too-many-requests.js";

/** Who asks for an access token. `clientId` is what was sent, whether there is such a client or not. */
export type Asker = { address: string; clientId?: string | undefined };

const maxBlocked = 20_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Counts the failures at `/oauth/token/` in Postgres, so that replicas agree; in memory while Postgres is away. An
 * address that has failed too often is refused. A client whose id is tried too often is refused only from addresses
 * that have failed themselves: its id is not a secret, and anyone who knows it must not lock its owner out.
 */
export class TokenEndpointFailures {
  readonly #limitedAddress: LimitedAddress;
  readonly #perMinute: number;
  readonly #limiter: RateLimiterPostgres | undefined;
  readonly #blocked = new LRUCache<string, true>({ ...atMost(maxBlocked), ttl: 1, ttlAutopurge: true });
  readonly #onLimited: () => void;

  /** @param deps.perMinute - 0: no limit */
  constructor(deps: {
    pool: Database["pool"];
    perMinute: number;
    limitedAddress: LimitedAddress;
    onLimited: () => void;
  }) {
    this.#limitedAddress = deps.limitedAddress;
    this.#perMinute = deps.perMinute;
    this.#onLimited = deps.onLimited;
    this.#limiter = deps.perMinute === 0 ? undefined : createLimiter(deps.pool, deps.perMinute);
  }

  /**
   * To be called before anything is looked up or verified.
   * @throws Problem `too-many-requests`
   */
  async refuseTooMany({ address, clientId }: Asker): Promise<void> {
    const ofAddress = this.#limitedAddress(address);
    if (!this.#limiter || ofAddress === undefined) return;
    const blockedMs = this.#blocked.getRemainingTTL(ofAddress);
    if (blockedMs > 0) throw this.#refused(blockedMs);
    const ofClient = clientKey(clientId);
    const [byAddress, byClient] = await Promise.all([
      this.#limiter.get(addressKey(ofAddress)),
      ofClient === undefined ? null : this.#limiter.get(ofClient),
    ]);
    if (!byAddress) return;
    if (byAddress.consumedPoints >= this.#perMinute) {
      // For the rest of the minute the database need not be asked.
      this.#blocked.set(ofAddress, true, { ttl: Math.max(1, byAddress.msBeforeNext) });
      throw this.#refused(byAddress.msBeforeNext);
    }
    if (byClient && byClient.consumedPoints >= this.#perMinute) throw this.#refused(byClient.msBeforeNext);
  }

  /** Counts one failure of any caller. Never throws. */
  async failed({ address, clientId }: Asker): Promise<void> {
    const limiter = this.#limiter;
    if (!limiter) return;
    const ofAddress = this.#limitedAddress(address);
    const keys = [ofAddress === undefined ? undefined : addressKey(ofAddress), clientKey(clientId)];
    const counted = keys.flatMap((key): Promise<RateLimiterRes>[] => (key === undefined ? [] : [limiter.penalty(key)]));
    await Promise.all(counted);
  }

  #refused(waitMs: number) {
    this.#onLimited();
    return tooManyRequests("Too many requests for an access token have failed.", waitMs);
  }
}

function createLimiter(pool: Database["pool"], points: number): RateLimiterPostgres {
  const counted = { points, duration: windowSeconds, keyPrefix: "oauth-token" };
  return new RateLimiterPostgres({
    ...counted,
    storeClient: byDatabaseClock(pool),
    storeType: "pool",
    // The migrations have made it.
    tableName: "rate_limits",
    tableCreated: true,
    insuranceLimiter: new RateLimiterMemory(counted),
  });
}

const addressKey = (limited: string): string => `address:${limited}`;

// Of what can be no client's id nothing is kept: it may be a secret that was sent in the wrong place, or very long.
const clientKey = (clientId: string | undefined): string | undefined =>
  clientId !== undefined && uuid.test(clientId) ? `client:${clientId.toLowerCase()}` : undefined;
