import { hash } from "node:crypto";

/** Which job, and which of its entries, a key is of. The id of the key says both, so that nothing needs to be stored. */
export type KeyReference = { jobId: string; entryTag: string };

const prefix = "FSJK";
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const jobBytes = 16;
const tagBytes = 10;
const shape = new RegExp(`^${prefix}[A-Z2-7]{${Math.ceil(((jobBytes + tagBytes) * 8) / 5)}}$`);

/**
 * The id of a job's key for one registry entry: `FSJK` and 42 characters of base32. AWS gives its own ids 16 to 128
 * characters of `[A-Z0-9]`.
 */
export function accessKeyIdOf(jobId: string, entryId: string): string {
  const job = Buffer.from(jobId.replaceAll("-", ""), "hex");
  return prefix + base32(Buffer.concat([job, tagOf(entryId)]));
}

/** Reads what `accessKeyIdOf` made; `undefined` for anything else. */
export function parseAccessKeyId(text: string): KeyReference | undefined {
  if (!shape.test(text)) return undefined;
  const bytes = fromBase32(text.slice(prefix.length));
  // The last character has bits to spare: only one spelling is taken.
  if (prefix + base32(bytes) !== text) return undefined;
  const hex = bytes.subarray(0, jobBytes).toString("hex");
  const jobId = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  return { jobId, entryTag: bytes.subarray(jobBytes).toString("hex") };
}

/** How a key's id names an entry. Only a pointer: the secret half is derived from the whole id of the entry. */
export function entryTagOf(entryId: string): string {
  return tagOf(entryId).toString("hex");
}

function tagOf(entryId: string): Buffer {
  return hash("sha256", entryId, "buffer").subarray(0, tagBytes);
}

function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet.charAt(Number.parseInt(five.padEnd(5, "0"), 2))).join("");
}

function fromBase32(text: string): Buffer {
  const bits = [...text].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  return Buffer.from(Array.from({ length: jobBytes + tagBytes }, (_, at) => byteAt(bits, at)));
}

function byteAt(bits: string, at: number): number {
  return Number.parseInt(bits.slice(at * 8, at * 8 + 8), 2);
}
