import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { z } from "zod";
import { Problem } from "../core/problem.js";

/** One page of a list, and the token that asks for the next. */
export type Page<T> = { items: T[]; nextPageToken?: string };

/** The page that a request asks for, as every handler of a list gets it. */
export type PageRequest = {
  size: number;
  /** The sort key of the last row before it; `undefined` for the first page. */
  after: SortKey | undefined;
  /** The token for the page behind the row with this sort key. */
  tokenAfter(key: SortKey): Promise<string>;
};

/** What the query of a list must know of its page; it reads one row more than `size`. */
export type PageStart = Pick<PageRequest, "size" | "after">;

/**
 * Most bytes of a page's rows, as they are stored: rows of some lists hold thousands of repositories each, and reading
 * and writing a page holds up all other requests.
 */
export const maxPageBytes = 256 * 1024;

/**
 * The page, with so few rows that they are no heavier than a page may be. One row is always taken, and the page then has
 * a token for the next.
 * @param weights - bytes of each row, in the order of the list
 */
export function lightPage<P extends PageStart>(page: P, weights: readonly number[]): P {
  let bytes = 0;
  const size = weights.findIndex((weight, at) => {
    bytes += weight;
    return at > 0 && bytes > maxPageBytes;
  });
  return size < 0 || size >= page.size ? page : { ...page, size };
}

const Asked = z.looseObject({ pageSize: z.number(), pageToken: z.string().optional() });

/**
 * Reads which page is asked for.
 * @param query - as the route has validated it
 * @returns `undefined` when the route is not a list
 * @throws Problem `invalid-request` for a token that was not made for this list, factory and filters
 */
export async function pageRequest(
  tokens: PageTokens,
  query: unknown,
  of: Omit<PageScope, "filters">,
): Promise<PageRequest | undefined> {
  const asked = Asked.safeParse(query);
  if (!asked.success) return undefined;
  const { pageSize, pageToken, ...filters } = asked.data;
  const scope = { ...of, filters };
  const after = pageToken === undefined ? undefined : await tokens.open(scope, pageToken);
  if (pageToken !== undefined && after === undefined) throw invalidPageToken();
  return { size: pageSize, after, tokenAfter: (key) => tokens.seal(scope, key) };
}

function invalidPageToken(): Problem {
  const reason = "invalid page token: use the `nextPageToken` of a page of this list, with the same filters";
  return new Problem("invalid-request", `query/pageToken: ${reason}`, {
    invalid: [{ at: "query/pageToken", reason }],
  });
}

/**
 * Cuts one page out of `page.size + 1` rows: the row too many only says that there is more.
 * @param keyOf what the list is sorted by
 */
export async function pageOf<R, T>(
  page: PageRequest,
  rows: readonly R[],
  keyOf: (row: R) => SortKey,
  view: (row: R) => T,
): Promise<Page<T>> {
  const shown = rows.slice(0, page.size);
  const last = shown.at(-1);
  const items = shown.map(view);
  if (rows.length <= page.size || last === undefined) return { items };
  return { items, nextPageToken: await page.tokenAfter(keyOf(last)) };
}

/** The sort key of lists that begin with the newest. */
export const newestFirst = ({ createdAt, id }: { createdAt: Date; id: string }): SortKey => [
  createdAt.toISOString(),
  id,
];

/** The rows behind a key of `newestFirst`, as conditions of a query. No row is looked up by its id. */
export function olderThan(after: SortKey | undefined) {
  if (after === undefined) return [];
  const [time = "", id = ""] = after;
  const createdAt = new Date(time);
  return [{ OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }] }];
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const isUuid = (text: string): boolean => uuid.test(text);

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
