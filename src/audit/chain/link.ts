import { hash } from "node:crypto";

/** What the hash of a link covers beside the link before it. */
export type Link = {
  /** Of the installation, or of a factory. */
  chain: string;
  /** From 1, without a gap. */
  position: number;
  eventId: string;
  writer: string;
  sequence: number;
  /** The canonical bytes of the event. */
  event: Buffer;
};

/** What stands before the first link of every chain. */
export const beforeFirst: Buffer = Buffer.alloc(32);

/** What every link begins with, its length in front. */
export const label = field(Buffer.from("factory-secrets audit link v1", "utf8"));

/**
 * The hash of a link: SHA-256 over the label, the chain's id, the hash before it, the position, the event's id, its
 * writer and sequence, and its bytes, each with its length in front (docs/audit.md, "The chain").
 * @returns 32 bytes
 */
export function linkHash(previous: Buffer, link: Link): Buffer {
  const { chain, position, eventId, writer, sequence, event } = link;
  return hash(
    "sha256",
    Buffer.concat([
      label,
      field(uuidBytes(chain)),
      field(previous),
      field(u64(BigInt(position))),
      field(u64(BigInt(eventId))),
      field(uuidBytes(writer)),
      field(u64(BigInt(sequence))),
      u32(event.length),
      event,
    ]),
    "buffer",
  );
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

function u64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll("-", ""), "hex");
}
