import { LRUCache } from "lru-cache";
import { atMost } from "../../core/at-most.js";
import { Problem } from "../../core/problem.js";
import type { Minted, MintedToken } from "../providers/provider.js";
import { usableUntil } from "../providers/token-life.js";

/** A token in memory, with its reply serialised once. Tokens are never written anywhere. */
export type CachedToken<T extends Minted = MintedToken> = {
  token: T;
  mintedAt: Date;
  refreshAfter: Date;
  /** The token as the reply has it, parsed by its schema and serialised. */
  json: string;
};

/** How a token is had that is not in the cache. */
export type Minting<T extends Minted> = {
  /** Called before `mint`, by the one caller that has it minted; those who wait for the same token are not asked. */
  admit(): void;
  mint(): Promise<T>;
  /** Mints ahead of time, when no one waits. */
  refresh(): Promise<T>;
};

export type CacheOutcome<T extends Minted> = { cached: CachedToken<T>; fromCache: boolean };

const maxTokens = 10_000;
const dropPauseMs = 10_000;
/** A caller that states nothing gets a token that lives at least so long, or half its life if that is less. */
const defaultMinTtlSeconds = 300;

/**
 * Keeps one token for each (entry, secret version, scope): its key names all that the token depends on, so a new
 * version or a changed entry never meets an old token. However many callers ask at once, upstream is asked once.
 */
export class TokenCache<T extends Minted> {
  readonly #tokens = new LRUCache<string, CachedToken<T>>(atMost(maxTokens));
  readonly #dropped = new LRUCache<string, true>({ ...atMost(maxTokens), ttl: dropPauseMs });
  readonly #minting = new Map<string, Promise<CachedToken<T>>>();
  readonly #random: () => number;
  readonly #now: () => Date;
  readonly #toJson: (token: T, refreshAfter: Date) => string;

  constructor(deps: { now: () => Date; random: () => number; toJson: (token: T, refreshAfter: Date) => string }) {
    this.#now = deps.now;
    this.#random = deps.random;
    this.#toJson = deps.toJson;
  }

  /** The token of this key if it can be handed out as it is, without asking anybody. */
  fresh(key: string, minTtlSeconds: number | undefined): CachedToken<T> | undefined {
    const cached = this.#tokens.get(key);
    const now = this.#now();
    return cached && now < cached.refreshAfter && isLongEnough(cached, minTtlSeconds, now) ? cached : undefined;
  }

  /**
   * A token with at least `minTtlSeconds` to live. A token past `refreshAfter` that still lives long enough is
   * handed out while `refresh` runs in the background.
   * @throws Problem `ttl-not-available` when no token of this registry lives that long; what `admit` throws
   */
  async get(key: string, minTtlSeconds: number | undefined, minting: Minting<T>): Promise<CacheOutcome<T>> {
    const cached = this.#tokens.get(key);
    const now = this.#now();
    if (cached && now < usableUntil(cached.token)) {
      if (minTtlSeconds !== undefined && minTtlSeconds > lifeSeconds(cached))
        throw ttlNotAvailable(cached, minTtlSeconds);
      if (isLongEnough(cached, minTtlSeconds, now)) {
        // Its failure costs nothing while the token lives; anyone who comes after that hears of it.
        if (now >= cached.refreshAfter) void this.#mint(key, minting.refresh).catch(() => undefined);
        return { cached, fromCache: true };
      }
    }
    if (!this.#minting.has(key)) minting.admit();
    const minted = await this.#mint(key, minting.mint);
    if (!isLongEnough(minted, minTtlSeconds, this.#now())) throw ttlNotAvailable(minted, minTtlSeconds ?? 0);
    return { cached: minted, fromCache: false };
  }

  /**
   * Forgets a token that its registry has refused, so that the next `get` mints. A registry that refuses what it has just
   * made refuses the next too: once in ten seconds is enough.
   * @returns whether the next `get` can give another token
   */
  drop(key: string, refused: CachedToken<T>): boolean {
    if (this.#tokens.get(key) !== refused) return true;
    if (this.#dropped.has(key)) return false;
    this.#dropped.set(key, true);
    return this.#tokens.delete(key);
  }

  #mint(key: string, mint: () => Promise<T>): Promise<CachedToken<T>> {
    const running = this.#minting.get(key);
    if (running) return running;
    const minting = mint()
      .then((token) => this.#keep(key, token))
      .finally(() => this.#minting.delete(key));
    this.#minting.set(key, minting);
    return minting;
  }

  #keep(key: string, token: T): CachedToken<T> {
    const mintedAt = this.#now();
    const life = usableUntil(token).getTime() - mintedAt.getTime();
    const refreshAfter = new Date(mintedAt.getTime() + life * refreshShare(life / 1000, this.#random()));
    const cached = { token, mintedAt, refreshAfter, json: this.#toJson(token, refreshAfter) };
    this.#tokens.set(key, cached, { ttl: Math.max(1, life) });
    return cached;
  }
}

/**
 * How much of its life a token is reused for: 60 to 70 %, by chance, so that tokens minted together are not refreshed
 * together. Less for a short one: until then every caller who states no `minTtlSeconds` must be able to have it.
 */
function refreshShare(lifeSeconds: number, chance: number): number {
  return Math.min(0.7, 1 - Math.min(defaultMinTtlSeconds / lifeSeconds, 0.5)) - 0.1 * chance;
}

function defaultMinTtl(lifeSeconds: number): number {
  return Math.min(defaultMinTtlSeconds, lifeSeconds / 2);
}

function lifeSeconds(cached: CachedToken<Minted>): number {
  return Math.floor((usableUntil(cached.token).getTime() - cached.mintedAt.getTime()) / 1000);
}

function isLongEnough(cached: CachedToken<Minted>, minTtlSeconds: number | undefined, now: Date): boolean {
  const wanted = minTtlSeconds ?? defaultMinTtl(lifeSeconds(cached));
  return usableUntil(cached.token).getTime() - now.getTime() >= wanted * 1000;
}

function ttlNotAvailable(cached: CachedToken<Minted>, minTtlSeconds: number): Problem {
  if (cached.token.lifeUnstated) {
    return new Problem(
      "ttl-not-available",
      `${cached.token.registry} does not say how long its tokens live, so ${minTtlSeconds} s cannot be promised. Leave minTtlSeconds out, and ask again when refreshAfter has passed.`,
    );
  }
  return new Problem(
    "ttl-not-available",
    `${cached.token.registry} issues tokens for ${lifeSeconds(cached)} s, less than the ${minTtlSeconds} s asked for. Ask for less, and again when refreshAfter has passed.`,
  );
}
