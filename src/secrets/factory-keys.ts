import { LRUCache } from "lru-cache";
import { EnvelopeError } from "../crypto/envelope.js";
import type { DataKey, KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import { insertDataKey, readDataKeys } from "./store.js";

/** The keys of one factory, unwrapped. New values are sealed under `seal`. */
export type UnwrappedKeys = { seal: DataKey; fingerprint: DataKey; byId: ReadonlyMap<string, DataKey> };

const maxFactories = 1_000;
const keptMs = 10 * 60 * 1000;

/** Unwraps the data keys of factories, and keeps them in memory for ten minutes at most. */
export class FactoryKeys {
  readonly #deps: { prisma: PrismaClient; keys: KeyRing };
  readonly #kept: LRUCache<string, UnwrappedKeys>;
  readonly #awsKeys = new LRUCache<string, DataKey>({ max: maxFactories, ttl: keptMs });

  constructor(deps: { prisma: PrismaClient; keys: KeyRing }) {
    this.#deps = deps;
    this.#kept = new LRUCache({
      max: maxFactories,
      ttl: keptMs,
      fetchMethod: (factoryId) => this.#unwrap(factoryId),
    });
  }

  /** @throws EnvelopeError when a key does not open, or the factory has none */
  async of(factoryId: string): Promise<UnwrappedKeys> {
    const keys = await this.#kept.fetch(factoryId);
    if (!keys) throw new EnvelopeError();
    return keys;
  }

  /** The key of this id; read again once when it is not known, for it may be new. */
  async find(factoryId: string, dataKeyId: string): Promise<DataKey> {
    const known = (await this.of(factoryId)).byId.get(dataKeyId);
    if (known) return known;
    this.#kept.delete(factoryId);
    const key = (await this.of(factoryId)).byId.get(dataKeyId);
    if (!key) throw new EnvelopeError();
    return key;
  }

  /** The key that AWS-shaped keys are derived from, once there is one. Another replica may have made it a moment ago. */
  async findAwsKeys(factoryId: string): Promise<DataKey | undefined> {
    const known = this.#awsKeys.get(factoryId);
    if (known) return known;
    const stored = (await readDataKeys(this.#deps.prisma, factoryId)).find(({ purpose }) => purpose === "aws-keys");
    if (!stored) return undefined;
    const key = await this.#deps.keys.unwrap(factoryId, stored);
    this.#awsKeys.set(factoryId, key);
    return key;
  }

  /** The same, made now if there was none. @throws EnvelopeError when the factory is gone */
  async awsKeys(factoryId: string): Promise<DataKey> {
    const known = await this.findAwsKeys(factoryId);
    if (known) return known;
    const { prisma, keys } = this.#deps;
    // Of two replicas that come here at once, one inserts and both read that one.
    await insertDataKey(prisma, factoryId, await keys.createDataKey(factoryId, "aws-keys"));
    const made = await this.findAwsKeys(factoryId);
    if (!made) throw new EnvelopeError();
    return made;
  }

  async #unwrap(factoryId: string): Promise<UnwrappedKeys> {
    const stored = (await readDataKeys(this.#deps.prisma, factoryId)).filter(({ purpose }) => purpose !== "aws-keys");
    const unwrapped = await Promise.all(
      stored.map(async (key) => ({ purpose: key.purpose, key: await this.#deps.keys.unwrap(factoryId, key) })),
    );
    const seal = unwrapped.find(({ purpose }) => purpose === "secret")?.key;
    const fingerprint = unwrapped.find(({ purpose }) => purpose === "fingerprint")?.key;
    if (!seal || !fingerprint) throw new EnvelopeError();
    return { seal, fingerprint, byId: new Map(unwrapped.map(({ key }) => [key.id, key])) };
  }
}
