import { dataKeyPurposeOf } from "../crypto/envelope.js";
import type { KeyEncryptionKey } from "../crypto/key-encryption-key.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { MovedKey, StoredKey } from "./work/rewrap/store.js";

/**
 * Unwraps a stored key of any kind. Whoever has the bytes erases them.
 * @throws EnvelopeError, Problem `key-unavailable` as `KeyRing.unwrap`
 */
export async function openStoredKey(keys: KeyRing, keyEncryptionKeyId: string, key: StoredKey): Promise<Buffer> {
  const { wrapped } = key;
  if (key.kind === "signing") {
    const { id, purpose, alg } = key;
    return keys.unwrapSigningKey({ id, purpose, alg, keyEncryptionKeyId, wrapped });
  }
  const { owner, id, purpose } = dataKeyOf(key);
  return (await keys.unwrap(owner, { id, purpose, keyEncryptionKeyId, wrapped })).bytes;
}

/** Wraps the bytes of a stored key by another key-encryption key, for the same place. @throws Problem `key-unavailable` */
export async function wrapStoredKey(
  keys: KeyRing,
  by: KeyEncryptionKey,
  key: StoredKey,
  bytes: Buffer,
): Promise<MovedKey> {
  if (key.kind === "signing") {
    const { id, purpose, alg } = key;
    return { key, ...(await keys.wrapSigningKey({ id, purpose, alg }, bytes, by)) };
  }
  const { owner, id, purpose } = dataKeyOf(key);
  return { key, ...(await keys.wrapDataKey(owner, { id, purpose, bytes }, by)) };
}

function dataKeyOf(key: Exclude<StoredKey, { kind: "signing" }>) {
  return key.kind === "data"
    ? { owner: key.factoryId, id: key.id, purpose: dataKeyPurposeOf(key.purpose) }
    : { owner: key.installationId, id: key.dataKeyId, purpose: "audit-checkpoint" as const };
}
