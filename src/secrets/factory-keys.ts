import { LRUCache } from "lru-cache";
import { Problem } from "../core/problem.js";
import { type DataKeyPurpose, EnvelopeError } from "../crypto/envelope.js";
import { type DataKey, DataKeyUnreadable, type KeyRing, type WrappedDataKey } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import { factoryLives, insertDataKey, readAwsKeysId, readDataKeys } from "./read-secrets.js";

/** `keptMs`: the most that a data key stays in memory. From `renewAfterMs` on it is unwrapped anew ahead of that. */
type Times = { keptMs: number; renewAfterMs: number; retryMs: number; nowMs: () => number };

type Held = { keys: UnwrappedKeys; atMs: number; renewAtMs: number };

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
   * What is wrong with a key is told by `UnwrappedKeys` to who needs it: that it is missing or does not open, or that its
   * time in memory is over and the key-encryption key does not answer.
   * @throws Problem `not-found` when the factory is gone
   */
  async of(factoryId: string): Promise<UnwrappedKeys> {
    const { keptMs, retryMs, nowMs } = this.#times;
    const held = this.#kept.get(factoryId);
    const now = nowMs();
    if (!held || now - held.atMs >= keptMs) {
      this.#kept.delete(factoryId);
      return this.#unwrapOnce(factoryId);
    }
    if (now >= held.renewAtMs) {
      held.renewAtMs = now + retryMs;
      // What went wrong is told when there is nothing left to fall back on.
      void this.#unwrapOnce(factoryId).catch(() => undefined);
    }
    return held.keys;
  }

  /**
   * The key of this id; read again once when it is not known, for it may be new. `undefined`: there is none.
   * @throws EnvelopeError when it does not open; Problem `key-unavailable`, and `not-found` when the factory is gone
   */
  async find(factoryId: string, dataKeyId: string): Promise<DataKey | undefined> {
    const known = (await this.of(factoryId)).byId(dataKeyId);
    if (known) return known;
    this.forget(factoryId);
    return (await this.of(factoryId)).byId(dataKeyId);
  }

  /** The factory has other data keys by now. */
  forget(factoryId: string): void {
    this.#kept.delete(factoryId);
    this.#unwrapping.delete(factoryId);
  }

  /**
   * Any factory may have other data keys by now. They are read anew when they are next needed. Those that have opened serve
   * until then, as ever: the key-encryption key may be down together with the database that was away.
   */
  doubtAll(): void {
    this.#unwrapping.clear();
    const now = this.#times.nowMs();
    for (const [factoryId, held] of [...this.#kept.entries()]) {
      if (held.keys.isWhole) held.renewAtMs = now;
      else this.#kept.delete(factoryId);
    }
  }

  #unwrapOnce(factoryId: string): Promise<UnwrappedKeys> {
    const running = this.#unwrapping.get(factoryId);
    if (running !== undefined) return running;
    const atMs = this.#times.nowMs();
    const unwrapping = this.#unwrap(factoryId).then((keys) => {
      // Forgotten meanwhile: what was read then may be old.
      if (this.#unwrapping.get(factoryId) === unwrapping) this.#keep(factoryId, keys, atMs);
      return keys;
    });
    this.#unwrapping.set(factoryId, unwrapping);
    const done = (): void => {
      if (this.#unwrapping.get(factoryId) === unwrapping) this.#unwrapping.delete(factoryId);
    };
    void unwrapping.then(done, done);
    return unwrapping;
  }

  /** Keys that have opened are not given up for some that do not, before their time. Those are looked at again soon. */
  #keep(factoryId: string, keys: UnwrappedKeys, atMs: number): void {
    if (keys.isWaiting || (!keys.isWhole && this.#kept.has(factoryId))) return;
    const { renewAfterMs, retryMs } = this.#times;
    this.#kept.set(factoryId, { keys, atMs, renewAtMs: atMs + (keys.isWhole ? renewAfterMs : retryMs) });
  }

  /**
   * The key that AWS-shaped keys are derived from, once there is one. Memory is not believed by itself: another replica may
   * have made the key a moment ago, or replaced it, and nobody was told while this one could not listen.
   * @throws Problem `key-unavailable` when it does not open, `not-found` when the factory is gone
   */
  async findAwsKeys(factoryId: string): Promise<DataKey | undefined> {
    const [held, id] = await Promise.all([this.of(factoryId), readAwsKeysId(this.#deps.prisma, factoryId)]);
    if (id === undefined) return undefined;
    if (held.has(id)) return held.awsKeys;
    this.forget(factoryId);
    return (await this.of(factoryId)).awsKeys;
  }

  /** The same, made now if there was none. @throws Problem `not-found` when the factory is gone */
  async awsKeys(factoryId: string): Promise<DataKey> {
    const known = await this.findAwsKeys(factoryId);
    if (known) return known;
    const { prisma, keys } = this.#deps;
    // Of two replicas that come here at once, one inserts and both read that one.
    await insertDataKey(prisma, factoryId, await keys.createDataKey(factoryId, "aws-keys"));
    this.forget(factoryId);
    const made = await this.findAwsKeys(factoryId);
    if (!made) throw new EnvelopeError();
    return made;
  }

  async #unwrap(factoryId: string): Promise<UnwrappedKeys> {
    const { prisma } = this.#deps;
    const stored = await readDataKeys(prisma, factoryId);
    // They go with their factory; one that is missing otherwise is in the way only of what needs it.
    if (stored.length === 0 && !(await factoryLives(prisma, factoryId)))
      throw new Problem("not-found", "The factory was deleted.");
    return new UnwrappedKeys(await Promise.all(stored.map((key) => this.#unwrapOne(factoryId, key))));
  }

  async #unwrapOne(factoryId: string, stored: WrappedDataKey): Promise<Unwrapping> {
    const { id, purpose } = stored;
    try {
      return { id, purpose, key: await this.#deps.keys.unwrap(factoryId, stored) };
    } catch (error) {
      return { id, purpose, error };
    }
  }
}

/** A stored data key: unwrapped, or why it was not. */
export type Unwrapping = { id: string; purpose: DataKeyPurpose } & ({ key: DataKey } | { error: unknown });

/** The data keys of one factory. One that is missing or does not open is in the way only of what needs it. */
export class UnwrappedKeys {
  /** None is missing, and each of them was opened. */
  readonly isWhole: boolean;
  /** Of one it could not even be asked whether it opens. */
  readonly isWaiting: boolean;
  readonly #byId: ReadonlyMap<string, Unwrapping>;
  readonly #byPurpose: ReadonlyMap<DataKeyPurpose, Unwrapping>;

  /** @param keys - of each purpose the active one first */
  constructor(keys: readonly Unwrapping[]) {
    this.isWaiting = keys.some((one) => "error" in one && !(one.error instanceof EnvelopeError));
    this.#byId = new Map(keys.map((one) => [one.id, one]));
    this.#byPurpose = new Map([...keys].reverse().map((one) => [one.purpose, one]));
    const isComplete = this.#byPurpose.has("secret") && this.#byPurpose.has("fingerprint");
    this.isWhole = isComplete && keys.every((one) => "key" in one);
  }

  /** New values are sealed under this one. @throws Problem `key-unavailable`, like all others here */
  get seal(): DataKey {
    return this.#needed("secret");
  }

  get fingerprint(): DataKey {
    return this.#needed("fingerprint");
  }

  /** There once a job of the factory has asked for AWS-shaped keys. */
  get awsKeys(): DataKey | undefined {
    return this.#byPurpose.has("aws-keys") ? this.#needed("aws-keys") : undefined;
  }

  /** Whether it was there when these were read, be it that it opens or not. */
  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** The key that something stored was sealed under. @throws EnvelopeError too, when it does not open */
  byId(id: string): DataKey | undefined {
    const one = this.#byId.get(id);
    if (one && "error" in one) throw one.error;
    return one?.key;
  }

  #needed(purpose: DataKeyPurpose): DataKey {
    const one = this.#byPurpose.get(purpose);
    if (one && "key" in one) return one.key;
    throw !one || one.error instanceof EnvelopeError ? new DataKeyUnreadable(purpose) : one.error;
  }
}
