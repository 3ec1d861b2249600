import { hash, randomBytes } from "node:crypto";

/** How each kind of opaque token begins, so that people and secret scanners recognise it. */
export const tokenPrefixes = {
  operator: "fso_",
  "api-token": "fsu_",
  job: "fsj_",
  "client-secret": "fsc_",
  "refresh-token": "fsr_",
} as const;

type TokenKind = keyof typeof tokenPrefixes;

const randomLength = 43;
const checksumLength = 6;
const shape = new RegExp(
  `^(?:${Object.values(tokenPrefixes).join("|")})[A-Za-z0-9_-]{${randomLength + checksumLength}}$`,
);

/**
 * Makes an opaque token: prefix, 256 random bits in base64url (43 characters), and 6 characters of checksum,
 * so that a typing error is caught without a database read.
 */
export function createToken(kind: TokenKind): string {
  const body = tokenPrefixes[kind] + randomBytes(32).toString("base64url");
  return body + checksum(body);
}

/** True for a token that this service could have made. Says nothing about whether it did. */
export function isWellFormedToken(text: string): boolean {
  if (!shape.test(text)) return false;
  return checksum(text.slice(0, -checksumLength)) === text.slice(-checksumLength);
}

/** What is stored of a token: SHA-256. The token has 256 random bits, so a slow hash would add nothing. */
export function hashToken(token: string): Buffer {
  return hash("sha256", token, "buffer");
}

export function startsLikeToken(text: string): boolean {
  return Object.values(tokenPrefixes).some((prefix) => text.startsWith(prefix));
}

function checksum(body: string): string {
  return hash("sha256", `checksum:${body}`, "base64url").slice(0, checksumLength);
}
