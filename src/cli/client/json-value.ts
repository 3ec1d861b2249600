// Read by hand: a schema library would double the time that the credential helper needs to start, and docker starts it
// for every registry.

import { oneLine } from "../../core/visible-text.js";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value of a JSON text; `undefined` for a text that is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A member that is a text, and not the empty one. */
export function textAt(value: unknown, name: string): string | undefined {
  const found = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return typeof found === "string" && found !== "" ? found : undefined;
}

/**
 * A member that is to be shown, on one line: GitHub's runner takes a line that begins with `::` for a command, and a
 * terminal has commands too.
 */
export function sentenceAt(value: unknown, name: string): string | undefined {
  const found = textAt(value, name);
  return found === undefined ? undefined : oneLine(found);
}

/** A member that is an object; an empty one when there is none. */
export function objectAt(value: unknown, name: string): JsonObject {
  const found = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return isObject(found) ? found : {};
}

/** A member that is a list; an empty one when there is none. */
export function listAt(value: unknown, name: string): readonly unknown[] {
  const found = isObject(value) ? value[name] : undefined;
  return Array.isArray(found) ? found : [];
}
