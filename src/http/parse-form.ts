import { Problem } from "../core/problem.js";

/** No form that is taken has more fields; each costs a look at all before it. */
const maxFields = 50;

/**
 * Reads a form as `application/x-www-form-urlencoded` is written (https://url.spec.whatwg.org/#urlencoded-parsing), but
 * strictly: percent signs that decode to nothing, bytes that are not UTF-8 and a field that stands twice are refused,
 * where a lenient reader and another one behind it could see two different requests (RFC 6749, section 3.2).
 * @returns the fields that have a value
 * @throws Problem `malformed-body` or `invalid-request`; neither quotes a value
 */
export function parseForm(bytes: Buffer): Record<string, string> {
  const parts = bytes
    .toString("latin1")
    .split("&")
    .filter((part) => part !== "");
  if (parts.length > maxFields) throw new Problem("invalid-request", `The form has more than ${maxFields} fields.`);
  const fields = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = decodeFormText(equals === -1 ? part : part.slice(0, equals));
    const value = decodeFormText(equals === -1 ? "" : part.slice(equals + 1));
    if (name === undefined || value === undefined) throw malformed();
    if (fields.has(name)) throw new Problem("invalid-request", "The form has a field twice.");
    fields.set(name, value);
  }
  return Object.fromEntries([...fields].filter(([, value]) => value !== ""));
}

const malformed = (): Problem =>
  new Problem(
    "malformed-body",
    "The body is not a form: a blank, or another character that must be percent-encoded in UTF-8, is not. With curl: --data-urlencode name=value",
  );

/** @returns the text that was form-encoded, or `undefined` when it was not */
export function decodeFormText(text: string): string | undefined {
  // A byte that is no ASCII should have been encoded, and is read as nothing else here.
  if (/[^\x21-\x7e]/.test(text)) return undefined;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}
