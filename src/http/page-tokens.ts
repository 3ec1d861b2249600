import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";

/** What a page token is good for: one route, in one factory, for one path and the same filters. */
export type PageScope = {
  route: string;
  factoryId: string | undefined;
  params: unknown;
  filters: unknown;
};

/** What the last row of a page was sorted by. The next page begins behind it. */
export type SortKey = readonly string[];

/** Seals and opens page tokens, with one key for all replicas. */
export type PageTokens = {
  seal(scope: PageScope, after: SortKey): Promise<string>;
  /** @returns `undefined` when this is no token of ours for this scope */
  open(scope: PageScope, token: string): Promise<SortKey | undefined>;
};

const nonceBytes = 12;
const tagBytes = 16;

/**
 * Seals the sort key of a row. It is encrypted, for it can say more than the row does (the audit is sorted by ids of the
 * whole installation), and bound to its scope as associated data (AES-256-GCM). The nonce is an HMAC of all that is
 * sealed, so two different tokens share one with a probability of 2^-96, however many are made.
 * @param key - 32 bytes
 */
export function sealPageToken(key: Buffer, scope: PageScope, after: SortKey): string {
  const keys = derive(key);
  const aad = bytesOf(scope);
  const plain = Buffer.from(JSON.stringify(after), "utf8");
  const nonce = createHmac("sha256", keys.nonce)
    .update(JSON.stringify([aad.toString("utf8"), after]))
    .digest();
  const cipher = createCipheriv("aes-256-gcm", keys.seal, nonce.subarray(0, nonceBytes)).setAAD(aad);
  const sealed = [nonce.subarray(0, nonceBytes), cipher.update(plain), cipher.final(), cipher.getAuthTag()];
  return Buffer.concat(sealed).toString("base64url");
}

/** @returns `undefined` for what was not sealed by this key for this scope */
export function openPageToken(key: Buffer, scope: PageScope, token: string): SortKey | undefined {
  const bytes = Buffer.from(token, "base64url");
  // Node ignores what is not base64url: two texts must not be the same token.
  if (bytes.length < nonceBytes + tagBytes || bytes.toString("base64url") !== token) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", derive(key).seal, bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(bytesOf(scope)).setAuthTag(bytes.subarray(-tagBytes));
  try {
    const plain = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    const after: unknown = JSON.parse(plain.toString("utf8"));
    return Array.isArray(after) ? after.map(String) : undefined;
  } catch {
    // Not ours, altered, or for another list: all the same to who sent it.
    return undefined;
  }
}

function bytesOf({ route, factoryId, params, filters }: PageScope): Buffer {
  return Buffer.from(JSON.stringify([route, factoryId ?? null, inOrder(params), inOrder(filters)]), "utf8");
}

const inOrder = (value: unknown): unknown =>
  typeof value === "object" && value !== null ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)) : null;

function derive(key: Buffer): { seal: Buffer; nonce: Buffer } {
  const part = (use: string): Buffer =>
    Buffer.from(hkdfSync("sha256", key, "", `factory-secrets page token v1 ${use}`, 32));
  return { seal: part("seal"), nonce: part("nonce") };
}
