import { generateKeyPairSync, type KeyPairKeyObjectResult } from "node:crypto";

// By the length of the modulus.
const made = new Map<number, KeyPairKeyObjectResult[]>();
const taken = new Map<number, number>();

/**
 * An RSA key pair that this test file has not had before. Making one takes up to half a second of processor, which was a
 * tenth of what the whole suite took: the files of a process take the same ones in turn.
 */
export function rsaKeyPair(modulusLength = 2_048): KeyPairKeyObjectResult {
  const pairs = made.get(modulusLength) ?? [];
  made.set(modulusLength, pairs);
  const index = taken.get(modulusLength) ?? 0;
  taken.set(modulusLength, index + 1);
  const pair = pairs[index] ?? generateKeyPairSync("rsa", { modulusLength });
  pairs[index] = pair;
  return pair;
}

/** Another test file begins. */
export function takeRsaKeysAnew(): void {
  taken.clear();
}
