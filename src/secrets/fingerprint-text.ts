const shownBytes = 10;

/** A keyed fingerprint as people compare it: `fp-` and its first 80 bits in hexadecimal. Tells nothing of the value. */
export function fingerprintText(fingerprint: Uint8Array): string {
  return `fp-${Buffer.from(fingerprint.subarray(0, shownBytes)).toString("hex")}`;
}
