import type { KeyObject } from "node:crypto";
import { ed25519PublicKey, publicKeyId } from "./statement.js";

/** A public key (SPKI, DER) as PEM. */
export function pem(spki: Buffer): string {
  return ed25519PublicKey(spki).export({ format: "pem", type: "spki" }).toString();
}

/**
 * The public keys of a PEM file, by their ids.
 * @throws Error with a sentence when there is none, or one is no Ed25519 key
 */
export function readPublicKeys(text: string): Map<string, KeyObject> {
  const blocks = [...text.matchAll(/-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/g)];
  if (blocks.length === 0) throw new Error("There is no public key in PEM in this file.");
  return new Map(
    blocks.map(([, base64]) => {
      const spki = Buffer.from(base64 ?? "", "base64");
      return [publicKeyId(spki), ed25519PublicKey(spki)];
    }),
  );
}
