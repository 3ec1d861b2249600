import { hash } from "node:crypto";

/** What the hash of a link covers beside the link before it, in the chain of a factory. */
export type FactoryLink = {
  /** Of the installation, or of a factory. */
  chain: string;
  /** From 1, without a gap. */
  position: number;
  /** The canonical bytes of the event. */
  event: Buffer;
};

/** Where an event stands among those of all factories: only the chain of the installation covers it. */
export type Place = { eventId: string; writer: string; sequence: number };

/** The same in the chain of the installation. */
export type Link = FactoryLink & Place;

/** What stands before the first link of every chain. */
export const beforeFirst: Buffer = Buffer.alloc(32);

/** What every link begins with, its length in front. */
export const label = field(Buffer.from("factory-secrets audit link v1", "utf8"));

/** The label, then seven fields, each with its length: all but the bytes of the hash before and of the event. */
const fixedLength = label.length + 7 * 4 + 16 + 8 + 8 + 16 + 8;

// What a hash covers is put together here: a million events are two million hashes, and to make a buffer for each takes
// as long as the hash itself.
let scratch = Buffer.alloc(4_096);

/**
 * The hash of a link: SHA-256 over the label, the chain's id, the hash before it, the position, the event's id, its
 * writer and sequence, and its bytes, each with its length in front (docs/audit.md, "The chain").
 * @returns 32 bytes
 */
export function linkHash(previous: Buffer, link: Link): Buffer {
  const { chain, position, eventId, writer, sequence, event } = link;
  const length = fixedLength + previous.length + event.length;
  if (scratch.length < length) scratch = Buffer.alloc(2 * length);
  scratch.set(label, 0);
  let at = putBytes(label.length, uuidBytes(chain));
  at = putBytes(at, previous);
  at = putNumber(at, position);
  at = putNumber(at, eventId.length < 16 ? Number(eventId) : BigInt(eventId));
  at = putBytes(at, uuidBytes(writer));
  at = putNumber(at, sequence);
  at = putBytes(at, event);
  return hash("sha256", scratch.subarray(0, at), "buffer");
}

/** The label, then four fields, each with its length: all but the bytes of the hash before and of the event. */
const factoryLabel = field(Buffer.from("factory-secrets audit link v2", "utf8"));
const fixedFactoryLength = factoryLabel.length + 4 * 4 + 16 + 8;

/**
 * The hash of a link in the chain of a factory: as `linkHash`, without id, writer and sequence. An export must hold all
 * that a hash covers, and those numbers count what happens in other factories.
 * @returns 32 bytes
 */
export function factoryLinkHash(previous: Buffer, { chain, position, event }: FactoryLink): Buffer {
  const length = fixedFactoryLength + previous.length + event.length;
  if (scratch.length < length) scratch = Buffer.alloc(2 * length);
  scratch.set(factoryLabel, 0);
  let at = putBytes(factoryLabel.length, uuidBytes(chain));
  at = putBytes(at, previous);
  at = putNumber(at, position);
  at = putBytes(at, event);
  return hash("sha256", scratch.subarray(0, at), "buffer");
}

/**
 * Which form a link of a factory's chain has: the present one, or that of the releases before, which covers the place.
 * @returns `undefined` when it is neither, so that the event is not the one that was sealed
 */
export function factoryLinkForm(previous: Buffer, link: Link & { hash: Buffer }): "v2" | "v1" | undefined {
  if (factoryLinkHash(previous, link).equals(link.hash)) return "v2";
  return linkHash(previous, link).equals(link.hash) ? "v1" : undefined;
}

function putBytes(at: number, bytes: Buffer): number {
  const start = scratch.writeUInt32BE(bytes.length, at);
  scratch.set(bytes, start);
  return start + bytes.length;
}

function putNumber(at: number, value: number | bigint): number {
  const start = scratch.writeUInt32BE(8, at);
  if (typeof value === "number" && value >= 0 && Number.isSafeInteger(value)) {
    return scratch.writeUInt32BE(value % 2 ** 32, scratch.writeUInt32BE(Math.floor(value / 2 ** 32), start));
  }
  // A negative one, that only a forger has, is as Postgres sends it.
  return scratch.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)), start);
}

/** The bytes of the ids that came last: of factories and processes there are few. */
const knownUuids = new Map<string, Buffer>();
const maxKnownUuids = 1_000;

function uuidBytes(id: string): Buffer {
  const known = knownUuids.get(id);
  if (known !== undefined) return known;
  if (knownUuids.size >= maxKnownUuids) knownUuids.clear();
  const bytes = Buffer.from(id.replaceAll("-", ""), "hex");
  knownUuids.set(id, bytes);
  return bytes;
}

// Each field has its length in front: no two lists of fields give the same bytes.
function field(bytes: Buffer): Buffer {
  return Buffer.concat([u32(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
