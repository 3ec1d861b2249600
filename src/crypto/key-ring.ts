import { randomBytes, randomUUID } from "node:crypto";
import {
  type DataKeyPlace,
  type DataKeyPurpose,
  EnvelopeError,
  keyBytes,
  keyCheckValue,
  keyEncryptionKeyId,
  type SigningKeyPlace,
  unwrapDataKey,
  unwrapSigningKey,
  wrapDataKey,
  wrapSigningKey,
} from "./envelope.js";

/** A key-encryption key, wherever its bytes are. Wrapping is asynchronous because a cloud KMS answers over the network. */
export type KeyEncryptionKey = {
  id: string;
  /** How an operator would find it: `file`, `env`. */
  source: string;
  checkValue: Buffer;
  wrap(place: DataKeyPlace, dataKey: Buffer): Promise<Buffer>;
  unwrap(place: DataKeyPlace, wrapped: Buffer): Promise<Buffer>;
  wrapSigningKey(place: SigningKeyPlace, privateKey: Buffer): Promise<Buffer>;
  unwrapSigningKey(place: SigningKeyPlace, wrapped: Buffer): Promise<Buffer>;
};

/** A data key in memory. */
export type DataKey = { id: string; bytes: Buffer };

/** A data key as it is stored. */
export type WrappedDataKey = { id: string; purpose: DataKeyPurpose; keyEncryptionKeyId: string; wrapped: Buffer };

/** What a signing key is for and how it signs: both are bound to the wrapped key. */
export type SigningKeyRef = { id: string; purpose: string; alg: string };

/** The private half of a signing key as it is stored. */
export type WrappedSigningKey = SigningKeyRef & { keyEncryptionKeyId: string; wrapped: Buffer };

/** A key-encryption key whose 32 bytes are in this process. */
export function localKeyEncryptionKey(source: string, bytes: Buffer): KeyEncryptionKey {
  return {
    id: keyEncryptionKeyId(bytes),
    source,
    checkValue: keyCheckValue(bytes),
    wrap: async (place, dataKey) => wrapDataKey(bytes, place, dataKey),
    unwrap: async (place, wrapped) => unwrapDataKey(bytes, place, wrapped),
    wrapSigningKey: async (place, privateKey) => wrapSigningKey(bytes, place, privateKey),
    unwrapSigningKey: async (place, wrapped) => unwrapSigningKey(bytes, place, wrapped),
  };
}

/** The key-encryption keys this process holds. New data keys are wrapped by the active one. */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyEncryptionKey>;

  constructor(
    readonly active: KeyEncryptionKey,
    others: readonly KeyEncryptionKey[] = [],
  ) {
    this.#keys = new Map([active, ...others].map((key) => [key.id, key]));
  }

  /** Makes a new data key for a factory. The plain bytes are not kept here. */
  async createDataKey(factoryId: string, purpose: DataKeyPurpose): Promise<WrappedDataKey> {
    const id = randomUUID();
    const place = { factoryId, dataKeyId: id, purpose, keyEncryptionKeyId: this.active.id };
    const wrapped = await this.active.wrap(place, randomBytes(keyBytes));
    return { id, purpose, keyEncryptionKeyId: this.active.id, wrapped };
  }

  /** @throws EnvelopeError when the key-encryption key is not on the ring, or the wrapped bytes do not open in this place */
  async unwrap(factoryId: string, key: WrappedDataKey): Promise<DataKey> {
    const keyEncryptionKey = this.#keys.get(key.keyEncryptionKeyId);
    if (!keyEncryptionKey) throw new EnvelopeError();
    const place = {
      factoryId,
      dataKeyId: key.id,
      purpose: key.purpose,
      keyEncryptionKeyId: key.keyEncryptionKeyId,
    };
    return { id: key.id, bytes: await keyEncryptionKey.unwrap(place, key.wrapped) };
  }

  /** @param privateKey - PKCS #8, DER; it is not kept here */
  async wrapSigningKey(key: SigningKeyRef, privateKey: Buffer): Promise<WrappedSigningKey> {
    const keyEncryptionKeyId = this.active.id;
    const wrapped = await this.active.wrapSigningKey(signingKeyPlace(key, keyEncryptionKeyId), privateKey);
    return { ...key, keyEncryptionKeyId, wrapped };
  }

  /**
   * @returns the private key, PKCS #8, DER
   * @throws EnvelopeError when the key-encryption key is not on the ring, or the wrapped bytes do not open in this place
   */
  async unwrapSigningKey(key: WrappedSigningKey): Promise<Buffer> {
    const keyEncryptionKey = this.#keys.get(key.keyEncryptionKeyId);
    if (!keyEncryptionKey) throw new EnvelopeError();
    return keyEncryptionKey.unwrapSigningKey(signingKeyPlace(key, key.keyEncryptionKeyId), key.wrapped);
  }
}

function signingKeyPlace({ id, purpose, alg }: SigningKeyRef, keyEncryptionKeyId: string): SigningKeyPlace {
  return { signingKeyId: id, purpose, alg, keyEncryptionKeyId };
}
