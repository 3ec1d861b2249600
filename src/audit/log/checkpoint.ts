import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { canonicalBase64 } from "./tree.js";

// Checkpoints: signed notes (C2SP signed-note) about the head of a tree (C2SP tlog-checkpoint).

/** The head of a log's tree. `origin` is the name of the log, and of the keys that sign for it. */
export type TreeHead = { origin: string; size: number; root: Buffer };

/** The key of the audit: Ed25519 (RFC 8032). `publicKey` are its 32 bytes. */
export type CheckpointSigner = { keyId: string; privateKey: KeyObject; publicKey: Buffer };

/** A key to verify with. `id` is SHA-256 of its SPKI, DER, in hexadecimal. */
export type PublicKey = { id: string; bytes: Buffer; key: KeyObject };

/** The signature type of Ed25519 (C2SP signed-note, "Signature types"). */
const ed25519Type = 1;
const signatureStart = "\u2014 ";

/** The name of a log: that of the installation, or of a factory. */
export function originOf(installation: string, log: string): string {
  return log === installation ? `factory-secrets/${installation}` : `factory-secrets/${installation}/${log}`;
}

/** The id in the name of a log: a factory's, or the installation's. */
export const logIdOf = (origin: string): string => origin.slice(origin.lastIndexOf("/") + 1);

/** The first four bytes of SHA-256(name || 0x0A || 0x01 || public key). */
function keyHash(name: string, publicKey: Buffer): Buffer {
  const hash = createHash("sha256")
    .update(`${name}\n`)
    .update(Buffer.from([ed25519Type]))
    .update(publicKey);
  return hash.digest().subarray(0, 4);
}

/** A signed note that says what the head of a log is. */
export function signCheckpoint({ privateKey, publicKey }: CheckpointSigner, { origin, size, root }: TreeHead): string {
  const text = `${origin}\n${size}\n${root.toString("base64")}\n`;
  const signature = Buffer.concat([keyHash(origin, publicKey), sign(null, Buffer.from(text, "utf8"), privateKey)]);
  return `${text}\n${signatureStart}${origin} ${signature.toString("base64")}\n`;
}

/** The key as programs for signed notes take it: `name+hash+base64`. */
export function verifierKey(name: string, publicKey: Buffer): string {
  const bytes = Buffer.concat([Buffer.from([ed25519Type]), publicKey]);
  return `${name}+${keyHash(name, publicKey).toString("hex")}+${bytes.toString("base64")}`;
}

/** @returns `undefined` when it is not a verifier key of Ed25519 */
export function readVerifierKey(text: string): PublicKey | undefined {
  const [, name = "", base64 = ""] = /^([^\s+]+)\+[0-9a-f]{8}\+([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  const bytes = Buffer.from(base64, "base64").subarray(1);
  return bytes.length === 32 && verifierKey(name, bytes) === text ? publicKeyOf(spkiOf(bytes)) : undefined;
}

const headForm = /^([^\s+]+)\n(0|[1-9]\d{0,14})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*$/;
const signatureForm = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/;

/** What a signed note says, without a look at its signatures. @returns `undefined` when it is not a checkpoint */
export function readCheckpoint(note: string): (TreeHead & { text: string; signatures: SignatureLine[] }) | undefined {
  const end = note.lastIndexOf("\n\n");
  const text = note.slice(0, end + 1);
  const [, origin, size, root] = headForm.exec(text) ?? [];
  const lines = note.endsWith("\n") ? note.slice(end + 2, -1).split("\n") : [];
  const signatures = lines.flatMap((line) => {
    const [, name = "", base64 = ""] = signatureForm.exec(line) ?? [];
    const bytes = canonicalBase64(base64);
    return name === "" || bytes === undefined ? [] : [{ name, bytes }];
  });
  if (origin === undefined || root === undefined || lines.length === 0 || signatures.length !== lines.length)
    return undefined;
  return { origin, size: Number(size), root: Buffer.from(root, "base64"), text, signatures };
}

type SignatureLine = { name: string; bytes: Buffer };

/**
 * What a checkpoint says, once a signature by one of these keys is verified. Signatures by others are ignored, as signed
 * notes demand.
 * @returns the head, or why it is rejected
 */
export function openCheckpoint(
  note: string,
  keys: Iterable<PublicKey>,
): { head: TreeHead; keyId: string; problem?: undefined } | { problem: string } {
  const read = readCheckpoint(note);
  if (read === undefined) return { problem: "is not a checkpoint" };
  const { origin, size, root, text, signatures } = read;
  for (const { id, bytes, key } of keys) {
    const hash = keyHash(origin, bytes);
    for (const { name, bytes: signature } of signatures) {
      if (name !== origin || !signature.subarray(0, 4).equals(hash)) continue;
      if (!verify(null, Buffer.from(text, "utf8"), key, signature.subarray(4)))
        return { problem: "has a wrong signature" };
      return { head: { origin, size, root }, keyId: id };
    }
  }
  return { problem: "is not signed by one of the given keys" };
}

/** A public key in SPKI, DER, up to its 32 bytes (RFC 8410). */
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex");

const spkiOf = (bytes: Buffer): Buffer => Buffer.concat([spkiPrefix, bytes]);

/** Reads a public key from its SPKI, DER. @throws Error when it is not an Ed25519 key */
export function publicKeyOf(spki: Buffer): PublicKey {
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  if (key.asymmetricKeyType !== "ed25519") throw new Error("The audit is signed with Ed25519; this is another key.");
  return { id: createHash("sha256").update(spki).digest("hex"), bytes: spki.subarray(spkiPrefix.length), key };
}

/** A public key (SPKI, DER) as PEM. */
export function pem(spki: Buffer): string {
  return publicKeyOf(spki).key.export({ format: "pem", type: "spki" }).toString();
}

/** The public keys of a PEM file. @throws Error with a sentence when there is none, or one is not an Ed25519 key */
export function readPublicKeys(text: string): PublicKey[] {
  const blocks = [...text.matchAll(/-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/g)];
  if (blocks.length === 0) throw new Error("There is no public key in PEM in this file.");
  return blocks.map(([, base64]) => publicKeyOf(Buffer.from(base64 ?? "", "base64")));
}
