import { createHmac } from "node:crypto";

/** What one pair of AWS-shaped keys is for. */
export type KeyPlace = { factoryId: string; jobId: string; entryId: string };

/** As long as AWS's own: 40 characters of base64. */
const secretBytes = 30;

/**
 * The secret half of a job's AWS-shaped keys: the same at each call, and stored nowhere. HMAC-SHA256 under a key of the
 * factory, over fields with their lengths in front, so that no two places give the same bytes.
 */
export function deriveSecretAccessKey(key: Buffer, { factoryId, jobId, entryId }: KeyPlace): string {
  const hmac = createHmac("sha256", key);
  for (const field of ["aws-keys", factoryId, jobId, entryId]) {
    const bytes = Buffer.from(field, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hmac.update(length).update(bytes);
  }
  return hmac.digest().subarray(0, secretBytes).toString("base64");
}
