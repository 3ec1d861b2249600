import type { TrustCondition } from "./contract.js";

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

/** Places in a text from the first to the last, both included. */
type Span = readonly [from: number, to: number];

/**
 * Whether a text has the shape of a glob, from its first character to its last: `*` stands for any run of characters
 * but `/`, `**` for any run. As in the branch patterns of GitHub workflows, so that `refs/heads/*` leaves out
 * `refs/heads/a/b`. All other characters stand for themselves.
 *
 * No regular expression: the text is a stranger's, and backtracking over several stars takes time that grows with a
 * power of its length. This looks at the text once for each star.
 */
export function matchesGlob(glob: string, text: string): boolean {
  const parts = glob.match(/\*+|[^*]+/g) ?? [];
  // The places that what stands in the glob so far can lead to, in their order and apart from each other.
  let reached: readonly Span[] = [[0, 0]];
  for (const [index, part] of parts.entries()) {
    if (reached.length === 0) return false;
    if (part.startsWith("*")) reached = afterStars(reached, text, part.length > 1);
    else if (index < parts.length - 1) reached = afterLiteral(reached, text, part);
    else return text.endsWith(part) && isReached(reached, text.length - part.length);
  }
  return isReached(reached, text.length);
}

function isReached(reached: readonly Span[], place: number): boolean {
  return reached.some(([from, to]) => from <= place && place <= to);
}

function afterStars(reached: readonly Span[], text: string, crossesSlashes: boolean): Span[] {
  const spans: Span[] = [];
  for (const [from, to] of reached) {
    const [, end = -1] = spans.at(-1) ?? [];
    // The star before has led here already.
    if (to <= end) continue;
    const slash = crossesSlashes ? -1 : text.indexOf("/", to);
    spans.push([Math.max(from, end + 1), slash === -1 ? text.length : slash]);
  }
  return spans;
}

/** Where a literal can end that stars follow. Of two ends without a slash between them the first will do for any star. */
function afterLiteral(reached: readonly Span[], text: string, literal: string): Span[] {
  const ends: Span[] = [];
  let at = text.indexOf(literal);
  for (const [from, to] of reached) {
    if (at >= 0 && at < from) at = text.indexOf(literal, from);
    while (at >= 0 && at <= to) {
      const end = at + literal.length;
      ends.push([end, end]);
      const slash = text.indexOf("/", end);
      at = slash === -1 ? -1 : text.indexOf(literal, Math.max(at, slash - literal.length) + 1);
    }
    if (at === -1) break;
  }
  return ends;
}

/** Whether a glob says anything: one without a letter or digit, such as `*` or `**` + `/*`, fits what nobody meant. */
export function saysSomething(glob: string): boolean {
  return /[\p{L}\p{N}]/u.test(glob);
}
