import { randomBytes, randomUUID } from "node:crypto";
import { Problem } from "../core/problem.js";
import { type DataKeyPurpose, EnvelopeError, keyBytes } from "./envelope.js";
import { type KeyEncryptionKey, type KeyPlace, KeyUnavailable } from "./key-encryption-key.js";
import type { KnownKey } from "./open-key-ring.js";

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
 * and it is asked each time: wrapping is rare, and so no replica wraps by a key that another one has just replaced. Each
 * time the key must also open its check value: another one may answer at its address by now.
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyEncryptionKey>;
  readonly #readActive: () => Promise<Pick<KnownKey, "id" | "checkValue"> | undefined>;
  readonly #unavailable = new Map<string, KeyUnavailable>();
  /** Keys that are not those that were added. Only a check value that opens again says otherwise. */
  readonly #changed = new Map<string, KeyUnavailable>();

  constructor(
    keys: readonly KeyEncryptionKey[],
    readActive: () => Promise<Pick<KnownKey, "id" | "checkValue"> | undefined>,
  ) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#readActive = readActive;
  }

  get keys(): readonly KeyEncryptionKey[] {
    return [...this.#keys.values()];
  }

  /** The key of this id, or of this source as the settings write it. */
  find(idOrSource: string): KeyEncryptionKey | undefined {
    return this.#keys.get(idOrSource) ?? this.keys.find(({ source }) => source === idOrSource);
  }

  /** Why this key cannot be used, as far as its last calls have shown, for the operator. */
  problemOf(id: string): string | undefined {
    return (this.#changed.get(id) ?? this.#unavailable.get(id))?.message;
  }

  /**
   * The key that wraps what is new, just found to be the one that was added.
   * @throws Problem `key-unavailable` when it is not, does not answer, or is not held by this process
   */
  async active(): Promise<KeyEncryptionKey> {
    const known = await this.#readActive();
    const key = this.#held(known?.id ?? "");
    await this.#call(key, () => this.fits(key, known?.checkValue ?? Buffer.alloc(0)));
    const changed = this.#changed.get(key.id);
    if (changed) throw keyChanged(changed);
    return key;
  }

  /**
   * Makes a new data key for a factory. The plain bytes are not kept here.
   * @throws Problem `key-unavailable`
   */
  async createDataKey(factoryId: string, purpose: DataKeyPurpose): Promise<WrappedDataKey> {
    return this.wrapDataKey(factoryId, { id: randomUUID(), purpose, bytes: randomBytes(keyBytes) });
  }

  /**
   * Wraps a data key by the active key.
   * @param by - what `active` gave a moment ago, for who wraps many
   * @throws Problem `key-unavailable`
   */
  async wrapDataKey(
    factoryId: string,
    { id, purpose, bytes }: DataKey & { purpose: DataKeyPurpose },
    by?: KeyEncryptionKey,
  ): Promise<WrappedDataKey> {
    const active = by ?? (await this.active());
    const place = dataKeyPlace(factoryId, { id, purpose, keyEncryptionKeyId: active.id });
    return { id, purpose, keyEncryptionKeyId: active.id, wrapped: await this.#wrap(active, place, bytes) };
  }

  /**
   * @throws EnvelopeError when the wrapped bytes do not open in this place
   * @throws Problem `key-unavailable` when the key-encryption key is not on the ring, or does not answer
   */
  async unwrap(factoryId: string, key: WrappedDataKey): Promise<DataKey> {
    const by = this.#held(key.keyEncryptionKeyId);
    return { id: key.id, bytes: await this.#call(by, () => by.unwrap(dataKeyPlace(factoryId, key), key.wrapped)) };
  }

  /**
   * @param privateKey - PKCS #8, DER; it is not kept here
   * @param by - as of `wrapDataKey`
   * @throws Problem `key-unavailable`
   */
  async wrapSigningKey(key: SigningKeyRef, privateKey: Buffer, by?: KeyEncryptionKey): Promise<WrappedSigningKey> {
    const active = by ?? (await this.active());
    const wrapped = await this.#wrap(active, signingKeyPlace(key, active.id), privateKey);
    return { ...key, keyEncryptionKeyId: active.id, wrapped };
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
   * Checks a key against what the database knows of it. One that does not fit has a problem from then on, until it does.
   * @throws KeyUnavailable when it does not answer
   */
  async fits(key: KeyEncryptionKey, checkValue: Buffer): Promise<boolean> {
    const fits = await this.#watch(key, () => key.fitsCheckValue(checkValue));
    if (fits) this.#changed.delete(key.id);
    else this.#changed.set(key.id, new KeyUnavailable(changedText(key)));
    return fits;
  }

  #held(id: string): KeyEncryptionKey {
    const key = this.#keys.get(id);
    if (key) return key;
    throw keyUnavailable(
      new KeyUnavailable(`This process does not hold the key ${id}: add it to FACTORY_SECRETS_KEYS.`),
    );
  }

  /** What is wrapped is unwrapped at once: it may come to be the only copy of what it holds. */
  #wrap(by: KeyEncryptionKey, place: KeyPlace, plain: Buffer): Promise<Buffer> {
    return this.#call(by, async () => {
      const wrapped = await by.wrap(place, plain);
      if (!(await givesBack(by, place, wrapped, plain)))
        throw new KeyUnavailable(`${by.source} does not unwrap what it has wrapped.`);
      return wrapped;
    });
  }

  async #call<T>(key: KeyEncryptionKey, use: () => Promise<T>): Promise<T> {
    try {
      return await this.#watch(key, use);
    } catch (error) {
      if (error instanceof KeyUnavailable) throw keyUnavailable(error);
      // What another key does not open may well be whole.
      const changed = error instanceof EnvelopeError ? this.#changed.get(key.id) : undefined;
      throw changed ? keyChanged(changed) : error;
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

async function givesBack(key: KeyEncryptionKey, place: KeyPlace, wrapped: Buffer, plain: Buffer): Promise<boolean> {
  try {
    const opened = await key.unwrap(place, wrapped);
    const isSame = opened.equals(plain);
    opened.fill(0);
    return isSame;
  } catch (error) {
    if (error instanceof EnvelopeError) return false;
    throw error;
  }
}

const changedText = ({ id, source }: KeyEncryptionKey): string =>
  `${source} is another key now than the one that was added as ${id}. Nothing is wrapped by it. Bring that one back.`;

function keyChanged(cause: KeyUnavailable): Problem {
  return new Problem(
    "key-unavailable",
    "The key-encryption key is another one than was added, so it is not used. An operator finds which at GET /v1/keys.",
    { retryAfterSeconds: 30, cause },
  );
}

// The cause is for the log: where the key is is no one's business but the operator's.
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

const sentences: Record<DataKeyPurpose, string> = {
  secret:
    "The data key that seals this factory's values does not open. Bring back the key-encryption key that wrapped it, or have an operator give the factory a new one: POST /v1/factories/{factory}/data-keys:rotate",
  fingerprint:
    "The key of this factory's fingerprints does not open. An operator has to bring back the key-encryption key that wrapped it, or the row from a backup. If both are lost: see 'When a data key does not open' in docs/keys.md",
  "aws-keys":
    "The key that this factory's AWS-shaped keys are derived from does not open. An operator has to bring back the key-encryption key that wrapped it, or the row from a backup. If both are lost: see 'When a data key does not open' in docs/keys.md",
  "audit-checkpoint": "The key of the audit does not open.",
  backup: "The key of the backup does not open.",
};

/**
 * A data key is needed that is missing or does not open. To try again does not help: an operator has something to do
 * (docs/keys.md).
 */
export class DataKeyUnreadable extends Problem {
  constructor(purpose: DataKeyPurpose) {
    super("key-unavailable", sentences[purpose]);
  }
}
