import { Problem } from "../core/problem.js";
import type { RequestFacts } from "./route.js";

/** What no version is: a tag that is not one of ours. */
const noVersion = -1;

/** How a precondition failed, for the one who named another version. */
export const notCurrent = (current: number, named: number): Problem =>
  new Problem(
    "precondition-failed",
    named === noVersion
      ? `The current version is ${current}, and If-Match names none of its versions.`
      : `The current version is ${current}, not ${named}.`,
  );

/** What the request's headers demand of the version that is there now. */
export type Precondition = "absent" | "present" | number | undefined;

/**
 * Reads `If-Match` and `If-None-Match`. Our entity tags are version numbers: `"3"`. A tag that is not one of ours matches
 * nothing, as RFC 9110 (13.1.1) has it.
 * @throws Problem when both are given, `If-None-Match` is anything but `*`, or a version has no quotes
 */
export function preconditionOf(request: RequestFacts): Precondition {
  const { ifMatch, ifNoneMatch } = request;
  if (ifNoneMatch !== undefined) {
    if (ifMatch === undefined && ifNoneMatch.trim() === "*") return "absent";
    throw new Problem("invalid-request", "Give If-None-Match: * (only if there is none yet) or If-Match, not both.");
  }
  if (ifMatch === undefined) return undefined;
  if (ifMatch.trim() === "*") return "present";
  const bare = /^\s*(\d{1,9})\s*$/.exec(ifMatch)?.[1];
  // No entity tag at all (RFC 9110, 8.8.3): anyone who writes it means a version, and would look for a lost change.
  if (bare !== undefined)
    throw new Problem("invalid-request", `If-Match: an entity tag is written in quotes. Write "${bare}".`);
  const version = /^\s*"(0|[1-9]\d{0,8})"\s*$/.exec(ifMatch)?.[1];
  return version === undefined ? noVersion : Number(version);
}

/**
 * Sees that what is changed is still what its reader saw.
 * @throws Problem `precondition-failed`
 */
export function checkVersion(version: number, precondition: Precondition): void {
  if (precondition === "absent" || (typeof precondition === "number" && precondition !== version)) {
    throw new Problem(
      "precondition-failed",
      `The current version is ${version}. Read it again, and carry your change over.`,
    );
  }
}

/** The header, for the declaration of a reply. */
export const etag = { ETag: "The version, with its quotes, for `If-Match`." };

export const etagOf = (version: number): Record<string, string> => ({ ETag: `"${version}"` });
