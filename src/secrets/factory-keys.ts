import { LRUCache } from "lru-cache";
import { EnvelopeError } from "../crypto/envelope.js";
import type { DataKey, KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import { readDataKeys } from "./store.js";

/** The keys of one factory, unwrapped. New values are sealed under `seal`. */
export type UnwrappedKeys = { seal: DataKey; fingerprint: DataKey; byId: ReadonlyMap<string, DataKey> };

/** `keptMs`: the most that a data key stays in memory. From `renewAfterMs` on it is unwrapped anew ahead of that. */
type Times = { keptMs: number; renewAfterMs: number; retryMs: number; nowMs: () => number };

type Held = { keys: UnwrappedKeys; atMs: number; tryAgainAtMs: number };

const maxFactories = 1_000;
const minuteMs = 60_000;
const usualTimes: Times = {
  keptMs: 10 * minuteMs,
  renewAfterMs: 5 * minuteMs,
  retryMs: 10_000,
  nowMs: () => performance.now(),
};

/**
 * Unwraps the data keys of factories, and keeps them in memory for ten minutes at most. From half of that on they are
 * unwrapped anew in the background: nobody waits for a slow key-encryption key, and one that is down for less than the
 * other half is not noticed.
 */
export class FactoryKeys {
  readonly #deps: { prisma: PrismaClient; keys: KeyRing };
  readonly #times: Times;
  readonly #kept = new LRUCache<string, Held>({ max: maxFactories });
  readonly #unwrapping = new Map<string, Promise<UnwrappedKeys>>();

  constructor(deps: { prisma: PrismaClient; keys: KeyRing }, times: Partial<Times> = {}) {
    this.#deps = deps;
    this.#times = { ...usualTimes, ...times };
  }

  /**
   * @throws EnvelopeError when a key does not open, or the factory has none
   * @throws Problem `key-unavailable` when its time in memory is over and the key-encryption key does not answer
   */
  async of(factoryId: string): Promise<UnwrappedKeys> {
    const { keptMs, renewAfterMs, retryMs, nowMs } = this.#times;
    const held = this.#kept.get(factoryId);
    const now = nowMs();
    if (!held || now - held.atMs >= keptMs) return this.#unwrapOnce(factoryId);
    if (now - held.atMs >= renewAfterMs && now >= held.tryAgainAtMs) {
      held.tryAgainAtMs = now + retryMs;
      // What went wrong is told when there is nothing left to fall back on.
      void this.#unwrapOnce(factoryId).catch(() => undefined);
    }
    return held.keys;
  }

  /** The key of this id; read again once when it is not known, for it may be new. `undefined`: there is none. */
  async find(factoryId: string, dataKeyId: string): Promise<DataKey | undefined> {
    const known = (await this.of(factoryId)).byId.get(dataKeyId);
    if (known) return known;
    this.forget(factoryId);
    return (await this.of(factoryId)).byId.get(dataKeyId);
  }

  /** The factory has other data keys by now. */
  forget(factoryId: string): void {
    this.#kept.delete(factoryId);
    this.#unwrapping.delete(factoryId);
  }

  #unwrapOnce(factoryId: string): Promise<UnwrappedKeys> {
    const running = this.#unwrapping.get(factoryId);
    if (running) return running;
    const atMs = this.#times.nowMs();
    const unwrapping = this.#unwrap(factoryId).then((keys) => {
      // Forgotten meanwhile: what was read then may be old.
      if (this.#unwrapping.get(factoryId) === unwrapping) this.#kept.set(factoryId, { keys, atMs, tryAgainAtMs: 0 });
      return keys;
    });
    this.#unwrapping.set(factoryId, unwrapping);
    const done = (): void => {
      if (this.#unwrapping.get(factoryId) === unwrapping) this.#unwrapping.delete(factoryId);
    };
    void unwrapping.then(done, done);
    return unwrapping;
  }

  async #unwrap(factoryId: string): Promise<UnwrappedKeys> {
    const stored = await readDataKeys(this.#deps.prisma, factoryId);
    const unwrapped = await Promise.all(
      stored.map(async (key) => ({ purpose: key.purpose, key: await this.#deps.keys.unwrap(factoryId, key) })),
    );
    const seal = unwrapped.find(({ purpose }) => purpose === "secret")?.key;
    const fingerprint = unwrapped.find(({ purpose }) => purpose === "fingerprint")?.key;
    if (!seal || !fingerprint) throw new EnvelopeError();
    return { seal, fingerprint, byId: new Map(unwrapped.map(({ key }) => [key.id, key])) };
  }
}
