import { createHash } from "node:crypto";

const shownBytes = 10;

/**
 * The keyed fingerprint of a version as people compare it with those of other versions of the same secret: `fp-` and 80
 * bits in hexadecimal. It is another one for the same value in another secret: whoever may write secrets could else try
 * guesses under names of their own, and nobody would see it.
 */
export function fingerprintText(secretId: string, fingerprint: Uint8Array): string {
  const shown = createHash("sha256").update(secretId, "utf8").update(fingerprint).digest().subarray(0, shownBytes);
  return `fp-${shown.toString("hex")}`;
}
