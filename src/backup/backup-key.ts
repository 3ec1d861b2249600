import { randomBytes, randomUUID } from "node:crypto";
import { EnvelopeError, keyBytes } from "../crypto/envelope.js";
import type { KeyEncryptionKey } from "../crypto/key-encryption-key.js";
import { KeyRing } from "../crypto/key-ring.js";
import type { KnownKey } from "../crypto/open-key-ring.js";
import { alteredBackup, type BackupHeader, BackupRefused } from "./format.js";

// The bytes of a key-encryption key can be in a KMS, which derives nothing from them. So each backup has a key of its
// own, wrapped like a data key: for this installation and for this purpose alone.
const purpose = "backup";

type ActiveKey = Pick<KnownKey, "id" | "checkValue">;

/** Makes the key of one backup. @throws BackupRefused when the active key-encryption key is not held; Problem `key-unavailable` */
export async function makeBackupKey(
  held: readonly KeyEncryptionKey[],
  active: ActiveKey,
  installation: string,
): Promise<{ key: BackupHeader["key"]; bytes: Buffer }> {
  const ring = new KeyRing(held, async () => active);
  if (!ring.find(active.id)) throw notHeld(active.id);
  const bytes = randomBytes(keyBytes);
  const { id, keyEncryptionKeyId, wrapped } = await ring.wrapDataKey(installation, {
    id: randomUUID(),
    purpose,
    bytes,
  });
  return { key: { id, keyEncryptionKeyId, wrapped: wrapped.toString("base64") }, bytes };
}

/** Opens the key of a backup. @throws BackupRefused when its key-encryption key is not held, or it does not open; Problem `key-unavailable` */
export async function openBackupKey(held: readonly KeyEncryptionKey[], header: BackupHeader): Promise<Buffer> {
  const { id, keyEncryptionKeyId, wrapped } = header.key;
  const ring = new KeyRing(held, async () => undefined);
  if (!ring.find(keyEncryptionKeyId)) throw notHeld(keyEncryptionKeyId);
  const stored = { id, purpose, keyEncryptionKeyId, wrapped: Buffer.from(wrapped, "base64") } as const;
  try {
    return (await ring.unwrap(header.installation, stored)).bytes;
  } catch (error) {
    throw error instanceof EnvelopeError ? alteredBackup() : error;
  }
}

const notHeld = (id: string): BackupRefused =>
  new BackupRefused(
    `A backup of this installation needs the key-encryption key ${id}, and it was not given. Set FACTORY_SECRETS_KEY or FACTORY_SECRETS_KEYS as for the server, or put the file key-encryption-key into the data directory.`,
  );
