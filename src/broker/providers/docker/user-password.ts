import type { FormatResult } from "../../secret-formats/check-credential-text.js";
import { readCredential } from "../../secret-formats/damaged-value.js";

export type UserPassword = { user: string; password: string };

/**
 * Reads `<user>:<password>`: everything after the first colon is the password. One line end after it is not part of it,
 * because files end in one and no registry takes it in a password.
 */
export function parseUserPassword(text: string): FormatResult<UserPassword> {
  return readCredential("generic", text, (clean) => parsePair(clean, "<user>:<token>"));
}

/** The pair itself. @param form - how the sentences call it */
export function parsePair(text: string, form: string): FormatResult<UserPassword> {
  const line = text.replace(/\r?\n$/, "");
  const colon = line.indexOf(":");
  const mistakes: string[] = [];
  if (colon === -1) mistakes.push(`It has no colon: write ${form}.`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 7617 forbids exactly these in both parts.
  if (/[\u0000-\u001f\u007f]/.test(line))
    mistakes.push(`It holds a line end or a control character: write ${form} on one line.`);
  const user = line.slice(0, Math.max(colon, 0));
  const password = line.slice(colon + 1);
  if ([user, password].some((part) => part !== part.trim()))
    mistakes.push(`There is a blank before or after the user or the password: write ${form}.`);
  if (colon === 0) mistakes.push(`There is no text before the colon: write ${form}.`);
  if (colon !== -1 && password === "") mistakes.push(`There is no text after the colon: write ${form}.`);
  return mistakes.length === 0 ? { ok: true, value: { user, password } } : { ok: false, mistakes };
}

/** The value of an `Authorization` header (RFC 7617). */
export function basicAuthorization({ user, password }: UserPassword): string {
  return `Basic ${Buffer.from(`${user}:${password}`, "utf8").toString("base64")}`;
}
