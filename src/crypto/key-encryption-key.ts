import { timingSafeEqual } from "node:crypto";
import {
  type DataKeyPlace,
  dataKeyContext,
  EnvelopeError,
  type KeyCheckPlace,
  keyBytes,
  keyCheckContext,
  keyCheckValue,
  keyEncryptionKeyId,
  remoteKeyCheck,
  type SigningKeyPlace,
  signingKeyContext,
  unwrapDataKey,
  unwrapSigningKey,
  wrapDataKey,
  wrapSigningKey,
} from "./envelope.js";

/** What is wrapped, and where it belongs. Every field is authenticated: it unwraps in its own place only. */
export type KeyPlace = ({ kind: "data-key" } & DataKeyPlace) | ({ kind: "signing-key" } & SigningKeyPlace);

/** A key-encryption key, wherever its bytes are. Asynchronous because a cloud KMS answers over the network. */
export type KeyEncryptionKey = {
  id: string;
  /** Where it is, as the settings write it: `env:FACTORY_SECRETS_KEY`, `awskms:///arn:...`. Never a secret. */
  source: string;
  /** Its bytes are elsewhere: each use is a call that can fail with `KeyUnavailable`. */
  isRemote: boolean;
  wrap(place: KeyPlace, bytes: Buffer): Promise<Buffer>;
  /** @throws EnvelopeError whatever is wrong with the bytes or their place */
  unwrap(place: KeyPlace, wrapped: Buffer): Promise<Buffer>;
  /** What the database keeps of the key, so that another one of the same name is found out. */
  createCheckValue(): Promise<Buffer>;
  fitsCheckValue(stored: Buffer): Promise<boolean>;
};

/** A key cannot be used just now. The message is for the operator: what is wrong, and what to do. */
export class KeyUnavailable extends Error {
  override readonly name = "KeyUnavailable";
}

/** A key-encryption key whose 32 bytes are in this process. */
export function localKeyEncryptionKey(source: string, bytes: Buffer): KeyEncryptionKey {
  return {
    id: keyEncryptionKeyId(bytes),
    source,
    isRemote: false,
    wrap: async (place, plain) =>
      place.kind === "data-key" ? wrapDataKey(bytes, place, plain) : wrapSigningKey(bytes, place, plain),
    unwrap: async (place, wrapped) =>
      place.kind === "data-key" ? unwrapDataKey(bytes, place, wrapped) : unwrapSigningKey(bytes, place, wrapped),
    createCheckValue: async () => keyCheckValue(bytes),
    fitsCheckValue: async (stored) => areEqual(keyCheckValue(bytes), stored),
  };
}

/** The associated data of a call to a key elsewhere: as bytes, and as the fields that make them up. */
export type RemoteContext = { bytes: Buffer; fields: Readonly<Record<string, string>> };

/** What a source has to do to be a key-encryption key. Both throw `KeyUnavailable`, `decrypt` throws `EnvelopeError` too. */
export type RemoteCipher = {
  encrypt(context: RemoteContext, plain: Buffer): Promise<Buffer>;
  decrypt(context: RemoteContext, sealed: Buffer): Promise<Buffer>;
};

/**
 * A key-encryption key whose bytes are elsewhere. Its check value is known bytes, wrapped by it. When that is made, it
 * is shown that the place is bound: a service that ignores associated data would open a key anywhere.
 */
export function remoteKeyEncryptionKey(
  { id, source }: Pick<KeyEncryptionKey, "id" | "source">,
  cipher: RemoteCipher,
): KeyEncryptionKey {
  const check = remoteKeyCheck(id);
  const checkContext = contextOf({ kind: "key-check", keyEncryptionKeyId: id });
  const opens = async (context: RemoteContext, sealed: Buffer): Promise<boolean> => {
    try {
      return areEqual(await cipher.decrypt(context, sealed), check);
    } catch (error) {
      if (error instanceof EnvelopeError) return false;
      throw error;
    }
  };
  return {
    id,
    source,
    isRemote: true,
    wrap: (place, plain) => cipher.encrypt(contextOf(place), plain),
    async unwrap(place, wrapped) {
      const plain = await cipher.decrypt(contextOf(place), wrapped);
      if (place.kind === "data-key" && plain.length !== keyBytes) throw new EnvelopeError();
      return plain;
    },
    async createCheckValue() {
      const sealed = await cipher.encrypt(checkContext, check);
      const elsewhere = contextOf({ kind: "key-check", keyEncryptionKeyId: `${id} elsewhere` });
      if (!(await opens(checkContext, sealed)))
        throw new KeyUnavailable(`${source} does not unwrap what it has wrapped.`);
      if (await opens(elsewhere, sealed))
        throw new KeyUnavailable(`${source} ignores associated data, so wrapped keys could change places. Update it.`);
      return sealed;
    },
    fitsCheckValue: (stored) => opens(checkContext, stored),
  };
}

function contextOf(place: KeyPlace | ({ kind: "key-check" } & KeyCheckPlace)): RemoteContext {
  const { kind, ...fields } = place;
  return { bytes: contextBytes(place), fields: { "factory-secrets": kind, ...fields } };
}

function contextBytes(place: KeyPlace | ({ kind: "key-check" } & KeyCheckPlace)): Buffer {
  switch (place.kind) {
    case "data-key":
      return dataKeyContext(place);
    case "signing-key":
      return signingKeyContext(place);
    case "key-check":
      return keyCheckContext(place);
    default:
      return place satisfies never;
  }
}

function areEqual(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
