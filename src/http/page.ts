import { Problem } from "../core/problem.js";

/** One page of a list, and the token that asks for the next. */
export type Page<T> = { items: T[]; nextPageToken?: string };

/**
 * Cuts one page out of `pageSize + 1` rows: the row too many only says that there is more.
 * @param keyOf what the next page begins after
 */
export function pageOf<R, T>(
  rows: readonly R[],
  pageSize: number,
  keyOf: (row: R) => string,
  view: (row: R) => T,
): Page<T> {
  const shown = rows.slice(0, pageSize);
  const last = shown.at(-1);
  const items = shown.map(view);
  if (rows.length <= pageSize || last === undefined) return { items };
  return { items, nextPageToken: Buffer.from(keyOf(last), "utf8").toString("base64url") };
}

/** What the page before ended with. @throws Problem when the token was not made by `pageOf` for such a list */
export function pageStart(pageToken: string | undefined, isKey: (text: string) => boolean): string | undefined {
  if (pageToken === undefined) return undefined;
  const key = Buffer.from(pageToken, "base64url").toString("utf8");
  if (isKey(key)) return key;
  throw new Problem("invalid-request", "query/pageToken: not a token of this list", {
    invalid: [{ at: "query/pageToken", reason: "not a token of this list" }],
  });
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const isUuid = (text: string): boolean => uuid.test(text);
