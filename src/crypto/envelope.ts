import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from "node:crypto";

// The bytes below are a storage format: docs/envelope.md describes them and holds test vectors.
const format = 1;
const nonceBytes = 12;
const tagBytes = 16;
const idBytes = 16;
export const keyBytes = 32;

/** Where a sealed value belongs. Every field is authenticated, so that a ciphertext opens in its own row only. */
export type SecretPlace = { factoryId: string; secretId: string; version: number };

/** Where a wrapped data key belongs. */
export type DataKeyPlace = {
  factoryId: string;
  dataKeyId: string;
  purpose: DataKeyPurpose;
  keyEncryptionKeyId: string;
};

/**
 * `aws-keys`: what the secret halves of jobs' AWS-shaped keys are derived from.
 * `audit-checkpoint`: the seed of the key that signs the audit; `backup`: what a backup is authenticated with. These two
 * belong to the installation, not to a factory.
 */
export type DataKeyPurpose = "secret" | "fingerprint" | "aws-keys" | "audit-checkpoint" | "backup";

/** The purpose that a stored data key says of itself. Only a hint: it is authenticated when the key is unwrapped. */
export function dataKeyPurposeOf(stored: string): DataKeyPurpose {
  return stored === "fingerprint" || stored === "aws-keys" || stored === "audit-checkpoint" ? stored : "secret";
}

/** Where a wrapped private key for signing belongs. It is of the whole installation, so no factory is in it. */
export type SigningKeyPlace = { signingKeyId: string; purpose: string; alg: string; keyEncryptionKeyId: string };

/** Where the check value of a key-encryption key belongs whose bytes are elsewhere. */
export type KeyCheckPlace = { keyEncryptionKeyId: string };

/**
 * A ciphertext did not open. There is one error for every reason (another row, another key, a flipped bit, a
 * truncation), because telling them apart would help only an attacker.
 */
export class EnvelopeError extends Error {
  override readonly name = "EnvelopeError";
  constructor() {
    super("the ciphertext does not open here");
  }
}

/**
 * Seals the value of one version of a secret under a factory's data key (AES-256-GCM, random 96-bit nonce).
 * One data key must not seal more than 2^32 values (NIST SP 800-38D, 8.3).
 * @returns format (1 byte), data key id (16), nonce (12), ciphertext (as long as the value), tag (16)
 */
export function sealSecret(key: { id: string; bytes: Buffer }, place: SecretPlace, value: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  return sealSecretWithNonce(key, place, value, nonce);
}

/** `sealSecret` with the nonce given: for test vectors only. A nonce used twice under one key gives the key away. */
export function sealSecretWithNonce(
  key: { id: string; bytes: Buffer },
  place: SecretPlace,
  value: Buffer,
  nonce: Buffer,
): Buffer {
  const box = encrypt(key.bytes, nonce, secretContext(place, key.id), value);
  return Buffer.concat([Buffer.of(format), uuidBytes(key.id), nonce, box]);
}

/** The id of the data key that sealed these bytes, as they claim it. Only a hint: `openSecret` authenticates it. */
export function claimedDataKeyId(sealed: Buffer): string {
  if (sealed.length < 1 + idBytes + nonceBytes + tagBytes || sealed[0] !== format) throw new EnvelopeError();
  return uuidText(sealed.subarray(1, 1 + idBytes));
}

/**
 * Opens what `sealSecret` made. `key` and `place` come from the authorised row, never from a request.
 * @throws EnvelopeError whatever is wrong
 */
export function openSecret(key: { id: string; bytes: Buffer }, place: SecretPlace, sealed: Buffer): Buffer {
  if (claimedDataKeyId(sealed) !== key.id) throw new EnvelopeError();
  const nonce = sealed.subarray(1 + idBytes, 1 + idBytes + nonceBytes);
  return decrypt(key.bytes, nonce, secretContext(place, key.id), sealed.subarray(1 + idBytes + nonceBytes));
}

/** @returns format (1 byte), nonce (12), wrapped key (32), tag (16) */
export function wrapDataKey(keyEncryptionKey: Buffer, place: DataKeyPlace, dataKey: Buffer): Buffer {
  return wrapDataKeyWithNonce(keyEncryptionKey, place, dataKey, randomBytes(nonceBytes));
}

/** `wrapDataKey` with the nonce given: for test vectors only. */
export function wrapDataKeyWithNonce(
  keyEncryptionKey: Buffer,
  place: DataKeyPlace,
  dataKey: Buffer,
  nonce: Buffer,
): Buffer {
  return Buffer.concat([Buffer.of(format), nonce, encrypt(keyEncryptionKey, nonce, dataKeyContext(place), dataKey)]);
}

/** @throws EnvelopeError whatever is wrong */
export function unwrapDataKey(keyEncryptionKey: Buffer, place: DataKeyPlace, wrapped: Buffer): Buffer {
  if (wrapped.length !== 1 + nonceBytes + keyBytes + tagBytes || wrapped[0] !== format) throw new EnvelopeError();
  const nonce = wrapped.subarray(1, 1 + nonceBytes);
  return decrypt(keyEncryptionKey, nonce, dataKeyContext(place), wrapped.subarray(1 + nonceBytes));
}

/** @param privateKey - PKCS #8, DER. @returns format (1 byte), nonce (12), wrapped key (as long as the key), tag (16) */
export function wrapSigningKey(keyEncryptionKey: Buffer, place: SigningKeyPlace, privateKey: Buffer): Buffer {
  return wrapSigningKeyWithNonce(keyEncryptionKey, place, privateKey, randomBytes(nonceBytes));
}

/** `wrapSigningKey` with the nonce given: for test vectors only. */
export function wrapSigningKeyWithNonce(
  keyEncryptionKey: Buffer,
  place: SigningKeyPlace,
  privateKey: Buffer,
  nonce: Buffer,
): Buffer {
  const box = encrypt(keyEncryptionKey, nonce, signingKeyContext(place), privateKey);
  return Buffer.concat([Buffer.of(format), nonce, box]);
}

/** @throws EnvelopeError whatever is wrong */
export function unwrapSigningKey(keyEncryptionKey: Buffer, place: SigningKeyPlace, wrapped: Buffer): Buffer {
  if (wrapped.length < 1 + nonceBytes + tagBytes || wrapped[0] !== format) throw new EnvelopeError();
  const nonce = wrapped.subarray(1, 1 + nonceBytes);
  return decrypt(keyEncryptionKey, nonce, signingKeyContext(place), wrapped.subarray(1 + nonceBytes));
}

/**
 * Names a key-encryption key by its bytes without giving anything of them away: `kek-` and 16 hex digits
 * of an HMAC under the key itself.
 */
export function keyEncryptionKeyId(key: Buffer): string {
  return `kek-${createHmac("sha256", key).update("factory-secrets key id").digest("hex").slice(0, 16)}`;
}

/**
 * Names a key-encryption key whose bytes are elsewhere by where it is. Two keys of one name are told apart by their
 * check values.
 * @param identity - what does not change when the same key is reached in another way
 */
export function remoteKeyEncryptionKeyId(identity: string): string {
  return `kek-${createHash("sha256").update(`factory-secrets key at ${identity}`).digest("hex").slice(0, 16)}`;
}

/** What the stored check value of a key whose bytes are elsewhere has to unwrap to. 32 bytes. */
export function remoteKeyCheck(id: string): Buffer {
  return createHash("sha256").update(`factory-secrets key check value ${id}`).digest();
}

/** Stored beside the id, so that a key of the right name and the wrong bytes is found at start-up. 32 bytes. */
export function keyCheckValue(key: Buffer): Buffer {
  return createHmac("sha256", key).update("factory-secrets key check value").digest();
}

/** A keyed fingerprint of a value: equal values of one factory have equal fingerprints. 32 bytes. */
export function fingerprint(fingerprintKey: Buffer, value: Buffer): Buffer {
  return createHmac("sha256", fingerprintKey).update(value).digest();
}

function secretContext(place: SecretPlace, dataKeyId: string): Buffer {
  const version = Buffer.alloc(8);
  version.writeBigUInt64BE(BigInt(place.version));
  return context("secret", [uuidBytes(place.factoryId), uuidBytes(place.secretId), version, uuidBytes(dataKeyId)]);
}

/** The associated data of a wrapped data key. */
export function dataKeyContext(place: DataKeyPlace): Buffer {
  return context(`data-key:${place.purpose}`, [
    uuidBytes(place.factoryId),
    uuidBytes(place.dataKeyId),
    Buffer.from(place.keyEncryptionKeyId, "utf8"),
  ]);
}

/** The associated data of the check value of a key whose bytes are elsewhere. */
export function keyCheckContext(place: KeyCheckPlace): Buffer {
  return context("key-check", [Buffer.from(place.keyEncryptionKeyId, "utf8")]);
}

/** The associated data of a wrapped signing key. */
export function signingKeyContext(place: SigningKeyPlace): Buffer {
  const fields = [place.signingKeyId, place.alg, place.keyEncryptionKeyId];
  return context(
    `signing-key:${place.purpose}`,
    fields.map((field) => Buffer.from(field, "utf8")),
  );
}

// Each field has its length in front: no two lists of fields give the same bytes.
function context(purpose: string, fields: readonly Buffer[]): Buffer {
  return Buffer.concat(
    [Buffer.of(format), Buffer.from(purpose, "utf8"), ...fields].flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    }),
  );
}

function encrypt(key: Buffer, nonce: Buffer, associatedData: Buffer, value: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(associatedData);
  return Buffer.concat([cipher.update(value), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, nonce: Buffer, associatedData: Buffer, box: Buffer): Buffer {
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
    decipher.setAAD(associatedData);
    decipher.setAuthTag(box.subarray(box.length - tagBytes));
    return Buffer.concat([decipher.update(box.subarray(0, box.length - tagBytes)), decipher.final()]);
  } catch {
    throw new EnvelopeError();
  }
}

function uuidBytes(id: string): Buffer {
  const bytes = Buffer.from(id.replaceAll("-", ""), "hex");
  if (bytes.length !== idBytes) throw new EnvelopeError();
  return bytes;
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
