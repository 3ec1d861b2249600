import { z } from "zod";
import type { SignedStatement } from "./statement.js";
import type { SealedEvent } from "./store.js";

// The lines of an export, as docs/audit.md describes them. Written and read by these functions only: the verifier writes
// a line that it has read again, and takes it only when that gives the same text.

const Hex = z.string().regex(/^[0-9a-f]{64}$/);
const Signed = { statement: z.string(), keyId: Hex, signature: z.base64() };
const KeyLine = z.strictObject({ type: z.literal("key"), keyId: Hex, publicKey: z.base64() });
const SignedLine = z.strictObject({ type: z.enum(["end", "cut", "checkpoint"]), ...Signed });
const EventLine = z.strictObject({
  type: z.literal("event"),
  position: z.int().min(1),
  id: z.string().regex(/^\d{1,18}$/),
  writer: z.uuid().lowercase(),
  sequence: z.int().min(0),
  hash: Hex,
  // A record keeps the order of the members, which is part of the bytes.
  event: z.record(z.string(), z.unknown()),
});
const ExportLine = z.discriminatedUnion("type", [KeyLine, SignedLine, EventLine]);

export type ExportLine =
  | { type: "key"; keyId: string; publicKey: Buffer }
  | { type: "end" | "cut" | "checkpoint"; signed: SignedStatement }
  | { type: "event"; sealed: SealedEvent; event: Readonly<Record<string, unknown>> };

export function keyLine(key: { id: string; publicKey: Buffer }): string {
  return JSON.stringify({ type: "key", keyId: key.id, publicKey: key.publicKey.toString("base64") });
}

export function signedLine(type: "end" | "cut" | "checkpoint", { text, keyId, signature }: SignedStatement): string {
  return JSON.stringify({ type, statement: text, keyId, signature: signature.toString("base64") });
}

/** The bytes of the event stand in the line as they are stored. */
export function eventLine({ position, eventId, writer, sequence, hash, event }: SealedEvent): string {
  const place = { type: "event", position, id: eventId, writer, sequence, hash: hash.toString("hex") };
  return `${JSON.stringify(place).slice(0, -1)},"event":${event.toString("utf8")}}`;
}

/** Reads a line. @returns `undefined` when it is none that this release could have written */
export function readExportLine(text: string): ExportLine | undefined {
  const parsed = ExportLine.safeParse(jsonOf(text));
  if (!parsed.success) return undefined;
  const line = exportLineOf(parsed.data);
  return textOf(line) === text ? line : undefined;
}

function exportLineOf(data: z.output<typeof ExportLine>): ExportLine {
  switch (data.type) {
    case "key":
      return { type: "key", keyId: data.keyId, publicKey: Buffer.from(data.publicKey, "base64") };
    case "event": {
      const { position, id, writer, sequence } = data;
      const event = Buffer.from(JSON.stringify(data.event), "utf8");
      const hash = Buffer.from(data.hash, "hex");
      return { type: "event", sealed: { position, eventId: id, writer, sequence, hash, event }, event: data.event };
    }
    case "end":
    case "cut":
    case "checkpoint": {
      const { statement, keyId } = data;
      return {
        type: data.type,
        signed: { text: statement, keyId, signature: Buffer.from(data.signature, "base64") },
      };
    }
    default:
      return data satisfies never;
  }
}

function textOf(line: ExportLine): string {
  switch (line.type) {
    case "key":
      return keyLine({ id: line.keyId, publicKey: line.publicKey });
    case "event":
      return eventLine(line.sealed);
    case "end":
    case "cut":
    case "checkpoint":
      return signedLine(line.type, line.signed);
    default:
      return line satisfies never;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
