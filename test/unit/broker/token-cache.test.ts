import { beforeEach, describe, expect, it, vi } from "vitest";
import { registryTokenJson } from "../../../src/broker/issue/products.js";
import { TokenCache } from "../../../src/broker/issue/token-cache.js";
import type { MintedToken } from "../../../src/broker/providers/provider.js";

const start = Date.UTC(2026, 0, 1);
let nowMs = start;
let minted = 0;
beforeEach(() => {
  nowMs = start;
  minted = 0;
});

const pass = (seconds: number): void => {
  nowMs += seconds * 1_000;
};
const createCache = (random = 0): TokenCache<MintedToken> =>
  new TokenCache({ now: () => new Date(nowMs), random: () => random, toJson: registryTokenJson });

function tokenFor(lifeSeconds: number): MintedToken {
  minted += 1;
  return {
    registry: "ghcr.io",
    type: "generic",
    kind: "bearer",
    bearer: `token-${minted}`,
    expiresAt: new Date(nowMs + lifeSeconds * 1_000),
    repositories: ["acme/app"],
    scopeEnforcedBy: "registry",
    revocable: false,
  };
}

const mintFor = (lifeSeconds: number) => vi.fn(async () => tokenFor(lifeSeconds));
const never = async (): Promise<MintedToken> => {
  throw new Error("must not be called");
};
const by = (mint: () => Promise<MintedToken>, refresh: () => Promise<MintedToken>, admit = vi.fn()) => ({
  admit,
  mint,
  refresh,
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a token in the cache", () => {
  it("is minted once, however many ask for it at once", async () => {
    const cache = createCache();
    const mint = mintFor(3_600);
    const admit = vi.fn();
    const once = () => cache.get("a", undefined, by(mint, never, admit));
    const all = await Promise.all(Array.from({ length: 1_000 }, once));
    expect(mint).toHaveBeenCalledTimes(1);
    expect(admit).toHaveBeenCalledTimes(1);
    expect(new Set(all.map(({ cached }) => cached.json)).size).toBe(1);
  });

  it("meets no other key", async () => {
    const cache = createCache();
    await cache.get("a", undefined, by(mintFor(3_600), never));
    expect(cache.fresh("b", undefined)).toBeUndefined();
    expect((await cache.get("b", undefined, by(mintFor(3_600), never))).fromCache).toBe(false);
  });

  it.each([
    [3_600, 0, 0.7],
    [3_600, 1, 0.6],
    [43_200, 1, 0.6],
    [300, 0, 0.5],
    [300, 1, 0.4],
  ])(
    "of %d s is handed out as it is until refreshAfter, which chance %d puts at %d of its life",
    async (life, random, share) => {
      const cache = createCache(random);
      const { cached } = await cache.get("a", undefined, by(mintFor(life), never));
      expect(cached.refreshAfter.getTime()).toBe(start + life * share * 1_000);
      expect(JSON.parse(cached.json)).toMatchObject({
        bearer: "token-1",
        refreshAfter: cached.refreshAfter.toISOString(),
      });
      pass(life * share - 1);
      expect(cache.fresh("a", undefined)).toBe(cached);
      expect(await cache.get("a", undefined, by(never, never))).toEqual({ cached, fromCache: true });
      pass(1);
      expect(cache.fresh("a", undefined)).toBeUndefined();
    },
  );

  it("past refreshAfter is still handed out while one new one is minted in the background", async () => {
    const cache = createCache();
    await cache.get("a", undefined, by(mintFor(3_600), never));
    pass(2_600);
    const refresh = mintFor(3_600);
    const during = await Promise.all([1, 2, 3].map(() => cache.get("a", undefined, by(never, refresh))));
    expect(during.map(({ cached }) => cached.json.includes("token-1"))).toEqual([true, true, true]);
    await turn();
    expect(refresh).toHaveBeenCalledTimes(1);
    expect(cache.fresh("a", undefined)?.json).toContain("token-2");
  });

  it("serves while it lives long enough when its refresh fails, and is tried again", async () => {
    const cache = createCache();
    await cache.get("a", undefined, by(mintFor(3_600), never));
    pass(2_600);
    const failing = vi.fn(never);
    for (let i = 1; i <= 2; i += 1) {
      expect((await cache.get("a", undefined, by(never, failing))).fromCache).toBe(true);
      await turn();
    }
    expect(failing).toHaveBeenCalledTimes(2);
    pass(1_000);
    await expect(cache.get("a", undefined, by(never, never))).rejects.toThrow("must not be called");
  });

  it("is never handed out after its end, even when nothing better is to be had", async () => {
    const cache = createCache();
    await cache.get("a", undefined, by(mintFor(3_600), never));
    pass(3_600);
    expect(cache.fresh("a", 1)).toBeUndefined();
    await expect(cache.get("a", 1, by(never, never))).rejects.toThrow("must not be called");
  });

  it("leaves no trace of a failed mint: the next caller asks anew", async () => {
    const cache = createCache();
    await expect(cache.get("a", undefined, by(never, never))).rejects.toThrow();
    expect((await cache.get("a", undefined, by(mintFor(60), never))).cached.json).toContain("token-1");
  });
});

describe("minTtlSeconds", () => {
  it("is met by a new token when the cached one has less to live", async () => {
    const cache = createCache();
    await cache.get("a", undefined, by(mintFor(3_600), never));
    pass(1_000);
    expect(cache.fresh("a", 3_000)).toBeUndefined();
    const mint = mintFor(3_600);
    const { cached } = await cache.get("a", 3_000, by(mint, never));
    expect(cached.token.expiresAt.getTime() - nowMs).toBeGreaterThanOrEqual(3_000_000);
    expect(mint).toHaveBeenCalledTimes(1);
  });

  it("longer than any token of the registry is refused with the life on offer, without asking upstream again", async () => {
    const cache = createCache();
    await expect(cache.get("a", 400, by(mintFor(300), never))).rejects.toMatchObject({
      code: "ttl-not-available",
      detail: expect.stringContaining("300 s"),
    });
    await expect(cache.get("a", 400, by(never, never))).rejects.toMatchObject({ code: "ttl-not-available" });
  });

  it.each([
    [3_600, 300],
    [300, 150],
    [60, 30],
  ])("that is not stated is, for a token of %d s, %d s", async (lifeSeconds, leastSeconds) => {
    const cache = createCache();
    await cache.get("a", undefined, by(mintFor(lifeSeconds), never));
    pass(lifeSeconds - leastSeconds);
    expect((await cache.get("a", undefined, by(never, mintFor(lifeSeconds)))).cached.json).toContain("token-1");
    const later = createCache();
    await later.get("a", undefined, by(mintFor(lifeSeconds), never));
    pass(lifeSeconds - leastSeconds + 1);
    expect((await later.get("a", undefined, by(mintFor(lifeSeconds), never))).fromCache).toBe(false);
  });
});
