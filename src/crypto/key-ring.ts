import { randomBytes, randomUUID } from "node:crypto";
import { Problem } from "../http/problem.js";
import { type DataKeyPurpose, keyBytes } from "./envelope.js";
import { type KeyEncryptionKey, type KeyPlace, KeyUnavailable } from "./key-encryption-key.js";

/** A data key in memory. */
export type DataKey = { id: string; bytes: Buffer };

/** A data key as it is stored. */
export type WrappedDataKey = { id: string; purpose: DataKeyPurpose; keyEncryptionKeyId: string; wrapped: Buffer };

/** What a signing key is for and how it signs: both are bound to the wrapped key. */
export type SigningKeyRef = { id: string; purpose: string; alg: string };

/** The private half of a signing key as it is stored. */
export type WrappedSigningKey = SigningKeyRef & { keyEncryptionKeyId: string; wrapped: Buffer };

/**
 * The key-encryption keys this process holds. New keys are wrapped by the active one. Which that is, the database says,
 * and it is asked each time: wrapping is rare, and so no replica wraps by a key that another one has just replaced.
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyEncryptionKey>;
  readonly #readActiveId: () => Promise<string | undefined>;
  readonly #unavailable = new Map<string, KeyUnavailable>();

  constructor(keys: readonly KeyEncryptionKey[], readActiveId: () => Promise<string | undefined>) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#readActiveId = readActiveId;
  }

  get keys(): readonly KeyEncryptionKey[] {
    return [...this.#keys.values()];
  }

  /** The key of this id, or of this source as the settings write it. */
  find(idOrSource: string): KeyEncryptionKey | undefined {
    return this.#keys.get(idOrSource) ?? this.keys.find(({ source }) => source === idOrSource);
  }

  /** Why the last call of this key failed, for the operator; `undefined` when it did not. */
  problemOf(id: string): string | undefined {
    return this.#unavailable.get(id)?.message;
  }

  /** @throws Problem `key-unavailable` when another key is active by now, which this process does not hold */
  async active(): Promise<KeyEncryptionKey> {
    return this.#held((await this.#readActiveId()) ?? "");
  }

  /**
   * Makes a new data key for a factory. The plain bytes are not kept here.
   * @throws Problem `key-unavailable`
   */
  async createDataKey(factoryId: string, purpose: DataKeyPurpose): Promise<WrappedDataKey> {
    return this.wrapDataKey(factoryId, { id: randomUUID(), purpose, bytes: randomBytes(keyBytes) });
  }

  /** Wraps a data key by the active key. @throws Problem `key-unavailable` */
  async wrapDataKey(factoryId: string, key: DataKey & { purpose: DataKeyPurpose }): Promise<WrappedDataKey> {
    const { id, purpose, bytes } = key;
    const active = await this.active();
    const place = dataKeyPlace(factoryId, { id, purpose, keyEncryptionKeyId: active.id });
    const wrapped = await this.#call(active, () => active.wrap(place, bytes));
    return { id, purpose, keyEncryptionKeyId: active.id, wrapped };
  }

  /**
   * @throws EnvelopeError when the wrapped bytes do not open in this place
   * @throws Problem `key-unavailable` when the key-encryption key is not on the ring, or does not answer
   */
  async unwrap(factoryId: string, key: WrappedDataKey): Promise<DataKey> {
    const by = this.#held(key.keyEncryptionKeyId);
    return { id: key.id, bytes: await this.#call(by, () => by.unwrap(dataKeyPlace(factoryId, key), key.wrapped)) };
  }

  /** @param privateKey - PKCS #8, DER; it is not kept here. @throws Problem `key-unavailable` */
  async wrapSigningKey(key: SigningKeyRef, privateKey: Buffer): Promise<WrappedSigningKey> {
    const active = await this.active();
    const place = signingKeyPlace(key, active.id);
    return {
      ...key,
      keyEncryptionKeyId: active.id,
      wrapped: await this.#call(active, () => active.wrap(place, privateKey)),
    };
  }

  /**
   * @returns the private key, PKCS #8, DER
   * @throws as `unwrap`
   */
  async unwrapSigningKey(key: WrappedSigningKey): Promise<Buffer> {
    const by = this.#held(key.keyEncryptionKeyId);
    return this.#call(by, () => by.unwrap(signingKeyPlace(key, by.id), key.wrapped));
  }

  /**
   * Checks a key against what the database knows of it.
   * @throws KeyUnavailable when it does not answer
   */
  async fits(key: KeyEncryptionKey, checkValue: Buffer): Promise<boolean> {
    return this.#watch(key, () => key.fitsCheckValue(checkValue));
  }

  #held(id: string): KeyEncryptionKey {
    const key = this.#keys.get(id);
    if (key) return key;
    throw keyUnavailable(
      new KeyUnavailable(`This process does not hold the key ${id}: add it to FACTORY_SECRETS_KEYS.`),
    );
  }

  async #call<T>(key: KeyEncryptionKey, use: () => Promise<T>): Promise<T> {
    try {
      return await this.#watch(key, use);
    } catch (error) {
      throw error instanceof KeyUnavailable ? keyUnavailable(error) : error;
    }
  }

  async #watch<T>(key: KeyEncryptionKey, use: () => Promise<T>): Promise<T> {
    try {
      const result = await use();
      this.#unavailable.delete(key.id);
      return result;
    } catch (error) {
      if (error instanceof KeyUnavailable) this.#unavailable.set(key.id, error);
      throw error;
    }
  }
}

// The cause is for the log: where the key is is nobody's business but the operator's.
function keyUnavailable(cause: KeyUnavailable): Problem {
  return new Problem("key-unavailable", "The key-encryption key cannot be used just now. Try again.", {
    retryAfterSeconds: 5,
    cause,
  });
}

function dataKeyPlace(factoryId: string, key: Pick<WrappedDataKey, "id" | "purpose" | "keyEncryptionKeyId">): KeyPlace {
  const { id: dataKeyId, purpose, keyEncryptionKeyId } = key;
  return { kind: "data-key", factoryId, dataKeyId, purpose, keyEncryptionKeyId };
}

function signingKeyPlace({ id, purpose, alg }: SigningKeyRef, keyEncryptionKeyId: string): KeyPlace {
  return { kind: "signing-key", signingKeyId: id, purpose, alg, keyEncryptionKeyId };
}
