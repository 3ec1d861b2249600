import { z } from "zod";
import type { Place } from "./link.js";
import { type ReadEvent, readEvent, readEventText } from "./read-event.js";
import type { SignedStatement } from "./statement.js";
import type { SealedEvent } from "./store.js";

// The lines of an export, as docs/audit.md describes them. Written and read by these functions only: the verifier writes
// a line that it has read again, and takes it only when that gives the same text.

const Hex = z.string().regex(/^[0-9a-f]{64}$/);
const Signed = { statement: z.string(), keyId: Hex, signature: z.base64() };
const KeyLine = z.strictObject({ type: z.literal("key"), keyId: Hex, publicKey: z.base64() });
const SignedLine = z.strictObject({ type: z.enum(["end", "cut", "checkpoint"]), ...Signed });
const idForm = /^\d{1,18}$/;
const PlaceMembers = {
  id: z.string().regex(idForm),
  writer: z.uuid().lowercase(),
  sequence: z.int().min(0),
};
/** What stands in front of the event in its line. */
const BeforeEvent = z.strictObject({ type: z.literal("event"), position: z.int().min(1), ...PlaceMembers, hash: Hex });
const BeforeFactorysEvent = z.strictObject({ type: z.literal("event"), position: z.int().min(1), hash: Hex });
const ExportLine = z.discriminatedUnion("type", [KeyLine, SignedLine]);

export type ExportLine =
  | { type: "key"; keyId: string; publicKey: Buffer }
  | { type: "end" | "cut" | "checkpoint"; signed: SignedStatement }
  | ({ type: "event"; sealed: ExportedEvent } & ReadEvent);

/** An event at its position in a chain. Without a `place` it is one of a factory's chain: its hash covers none. */
export type ExportedEvent = { position: number; hash: Buffer; event: Buffer; place: Place | undefined };

export function exportedEvent({ position, hash, event, eventId, writer, sequence }: SealedEvent): ExportedEvent {
  return { position, hash, event, place: { eventId, writer, sequence } };
}

/** Whether an event with these numbers can stand in an export. */
export function isPlace({ id, writer, sequence }: { id: string; writer: string; sequence: number }): boolean {
  // Written out, for it is asked of every event: zod takes longer than the hash.
  return (
    idForm.test(id) && Number.isSafeInteger(sequence) && sequence >= 0 && PlaceMembers.writer.safeParse(writer).success
  );
}

export function keyLine(key: { id: string; publicKey: Buffer }): string {
  return JSON.stringify({ type: "key", keyId: key.id, publicKey: key.publicKey.toString("base64") });
}

export function signedLine(type: "end" | "cut" | "checkpoint", { text, keyId, signature }: SignedStatement): string {
  return JSON.stringify({ type, statement: text, keyId, signature: signature.toString("base64") });
}

/** The bytes of the event stand in the line as they are stored; damaged ones, which could not, in base64. */
export function eventLine(sealed: ExportedEvent): { line: string; damage: string | undefined } {
  const { event } = sealed;
  const { damage } = readEvent(event);
  const told = damage === undefined ? `"event":${event.toString("utf8")}` : `"bytes":"${event.toString("base64")}"`;
  return { line: `${beginningOf(sealed)},${told}}`, damage };
}

function beginningOf({ position, place, hash }: Omit<ExportedEvent, "event">): string {
  const told = place && { id: place.eventId, writer: place.writer, sequence: place.sequence };
  return JSON.stringify({ type: "event", position, ...told, hash: hash.toString("hex") }).slice(0, -1);
}

/** Reads a line. @returns `undefined` when it is none that this release could have written */
export function readExportLine(text: string): ExportLine | undefined {
  if (text.startsWith('{"type":"event"')) return readEventLine(text);
  const parsed = ExportLine.safeParse(jsonOf(text));
  if (!parsed.success) return undefined;
  const { data } = parsed;
  switch (data.type) {
    case "key": {
      const publicKey = Buffer.from(data.publicKey, "base64");
      return keyLine({ id: data.keyId, publicKey }) === text ? { ...data, publicKey } : undefined;
    }
    case "end":
    case "cut":
    case "checkpoint": {
      const { type, statement, keyId } = data;
      const signed = { text: statement, keyId, signature: Buffer.from(data.signature, "base64") };
      return signedLine(type, signed) === text ? { type, signed } : undefined;
    }
    default:
      return data satisfies never;
  }
}

/** No value in front of the event has a quotation mark, so its member is the first of that name. */
const eventLineForm = /^(.*?),"(event|bytes)":(.*)\}$/s;

function readEventLine(text: string): ExportLine | undefined {
  const [, before = "", member, told = ""] = eventLineForm.exec(text) ?? [];
  const sealed = readBeginning(jsonOf(`${before}}`));
  if (sealed === undefined || beginningOf(sealed) !== before) return undefined;
  if (member === "event") {
    const { event } = readEventText(told);
    return event && { type: "event", sealed: { ...sealed, event: Buffer.from(told, "utf8") }, event };
  }
  const bytes = Buffer.from(told.slice(1, -1), "base64");
  const { damage } = readEvent(bytes);
  // Sound bytes have one form in an export, and this is not it.
  if (damage === undefined || `"${bytes.toString("base64")}"` !== told) return undefined;
  return { type: "event", sealed: { ...sealed, event: bytes }, damage };
}

function readBeginning(value: unknown): Omit<ExportedEvent, "event"> | undefined {
  const factorys = BeforeFactorysEvent.safeParse(value);
  if (factorys.success) {
    const { position, hash } = factorys.data;
    return { position, hash: Buffer.from(hash, "hex"), place: undefined };
  }
  const parsed = BeforeEvent.safeParse(value);
  if (!parsed.success) return undefined;
  const { position, hash, id, writer, sequence } = parsed.data;
  return { position, hash: Buffer.from(hash, "hex"), place: { eventId: id, writer, sequence } };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
