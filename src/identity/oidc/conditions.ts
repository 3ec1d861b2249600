import type { TrustCondition } from "./contract.js";
import { matchesGlob } from "./match-glob.js";

/** The payload of a token, as JSON gave it. */
export type Claims = Readonly<Record<string, unknown>>;

type Scalar = string | number | boolean;

/** What a condition asks of its claim. */
export type Comparison = { kind: "any-of"; values: readonly Scalar[] } | { kind: "glob"; glob: string };

// No claim worth a glob is longer (a git ref has at most 255 characters) or deeper, and matching costs its length, and
// at each star a look at each of its slashes.
const maxGlobbedLength = 1_000;
const maxGlobbedSlashes = 64;

/** The one comparison of a condition; none for what the contract would not take. */
export function comparisonOf(condition: TrustCondition): Comparison {
  const { equals, equalsNumber, equalsBoolean, equalsAny, equalsAnyNumber, glob } = condition;
  if (glob !== undefined) return { kind: "glob", glob };
  const one = equals ?? equalsNumber ?? equalsBoolean;
  return { kind: "any-of", values: one === undefined ? (equalsAny ?? equalsAnyNumber ?? []) : [one] };
}

/**
 * The claim that a condition names: a top-level one by its name as it is, or what a JSON pointer (RFC 6901) leads to
 * through objects. Only members of their own count, and no pointer leads into a list.
 */
export function claimAt(claims: Claims, name: string): unknown {
  if (!name.startsWith("/")) return Object.hasOwn(claims, name) ? claims[name] : undefined;
  let at: unknown = claims;
  for (const step of name.slice(1).split("/")) {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!isObject(at) || !Object.hasOwn(at, key)) return undefined;
    at = at[key];
  }
  return at;
}

/** Whether a claim is what the condition asks: of the same type, too. A list or an object is never equal to anything. */
export function holds(condition: TrustCondition, claims: Claims): boolean {
  const found = claimAt(claims, condition.claim);
  const comparison = comparisonOf(condition);
  switch (comparison.kind) {
    case "any-of":
      return comparison.values.some((value) => value === found);
    case "glob":
      return typeof found === "string" && isWorthAGlob(found) && matchesGlob(comparison.glob, found);
    default:
      return comparison satisfies never;
  }
}

function isWorthAGlob(text: string): boolean {
  return text.length <= maxGlobbedLength && text.split("/", maxGlobbedSlashes + 2).length <= maxGlobbedSlashes + 1;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
