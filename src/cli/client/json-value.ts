// Without a schema library: it would double the start time of the credential helper, which docker starts for each registry.

import { oneLine } from "../../core/visible-text.js";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value of a JSON text; `undefined` when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A member that is a non-empty text. */
export function textAt(value: unknown, name: string): string | undefined {
  const found = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return typeof found === "string" && found !== "" ? found : undefined;
}

/**
 * A text to show, on one line: GitHub's runner takes a line that begins with `::` for a command, and terminals take
 * control characters.
 */
export function sentenceAt(value: unknown, name: string): string | undefined {
  const found = textAt(value, name);
  return found === undefined ? undefined : oneLine(found);
}

/** A member that is an object; otherwise an empty one. */
export function objectAt(value: unknown, name: string): JsonObject {
  const found = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return isObject(found) ? found : {};
}

/** A member that is a list; otherwise an empty one. */
export function listAt(value: unknown, name: string): readonly unknown[] {
  const found = isObject(value) ? value[name] : undefined;
  return Array.isArray(found) ? found : [];
}
