import { isUtf8 } from "node:buffer";

/** An event as its stored bytes say, or what is wrong with them: then the database was altered directly. */
export type ReadEvent =
  | { event: Readonly<Record<string, unknown>>; problem?: undefined }
  | { event?: undefined; problem: string };

export function readEvent(bytes: Buffer): ReadEvent {
  if (!isUtf8(bytes)) return { problem: "its bytes are not UTF-8" };
  const value = jsonOf(bytes.toString("utf8"));
  if (value === undefined) return { problem: "its bytes are not JSON" };
  return isRecord(value) ? { event: value } : { problem: "its bytes are JSON, but not an object" };
}

/** Whether the bytes can be part of a line of NDJSON. */
export function isReadable(bytes: Buffer): boolean {
  return !bytes.includes(0x0a) && !bytes.includes(0x0d) && readEvent(bytes).event !== undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
