import { startsLikeToken } from "./token.js";

/**
 * The token that a request presents, if any.
 * `OSF-TOKEN` decides when it is there, and `Authorization` is then ignored: fioctl sends both, the second possibly stale.
 * A bearer with a prefix of ours or exactly two dots is taken as it is; any other must be strict base64 of such a
 * value, which is how fioctl sends an access token.
 * @returns the token; `undefined` when no credential was sent; `"unreadable"` when one was sent that cannot be one
 */
export function presentedToken(headers: {
  osfToken: string | undefined;
  authorization: string | undefined;
}): { token: string } | "unreadable" | undefined {
  if (headers.osfToken !== undefined)
    return looksLikeToken(headers.osfToken) ? { token: headers.osfToken } : "unreadable";
  if (headers.authorization === undefined) return undefined;
  const bearer = /^bearer +([^ ]+) *$/i.exec(headers.authorization)?.[1];
  if (bearer === undefined) return "unreadable";
  if (looksLikeToken(bearer)) return { token: bearer };
  const decoded = strictBase64(bearer);
  return decoded !== undefined && looksLikeToken(decoded) ? { token: decoded } : "unreadable";
}

function looksLikeToken(text: string): boolean {
  return startsLikeToken(text) || text.split(".", 4).length === 3;
}

function strictBase64(text: string): string | undefined {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) return undefined;
  const decoded = bytes.toString("latin1");
  return /^[\x21-\x7e]+$/.test(decoded) ? decoded : undefined;
}
