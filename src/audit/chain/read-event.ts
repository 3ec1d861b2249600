import { isUtf8 } from "node:buffer";

/** An event as its bytes tell it; or, when somebody wrote or altered them in the database directly, what is wrong with them. */
export type ReadEvent =
  | { event: Readonly<Record<string, unknown>>; damage?: undefined }
  | { event?: undefined; damage: string };

/**
 * Reads the bytes of an event. Only those are taken that say the same when they are written again: an export holds the
 * event itself, and whoever verifies it makes the bytes from that.
 */
export function readEvent(bytes: Buffer): ReadEvent {
  return isUtf8(bytes) ? readEventText(bytes.toString("utf8")) : { damage: "its bytes are not UTF-8" };
}

/** As `readEvent`, from bytes that are a text already. */
export function readEventText(text: string): ReadEvent {
  const { value, again } = writtenAgain(text);
  if (value === undefined) return { damage: "its bytes are not JSON" };
  if (!isRecord(value)) return { damage: "its bytes are JSON, but no object" };
  return again === text ? { event: value } : { damage: "its bytes are JSON, but not in the form of the service" };
}

/** The place of a damaged event, for whoever has to look at it. */
export function damagedSentence(event: {
  chain: string;
  position: number;
  /** Absent in the export of a factory. */
  eventId?: string | undefined;
  damage: string;
}): string {
  const { chain, position, eventId, damage } = event;
  return `the event ${eventId === undefined ? "" : `with the id ${eventId}, `}at position ${position} of the chain ${chain}, is damaged: ${damage}`;
}

function writtenAgain(text: string): { value?: unknown; again?: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
    return { value, again: JSON.stringify(value) };
  } catch {
    // What is too deep to be written again was read, and is not of the service's making either.
    return { value };
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
