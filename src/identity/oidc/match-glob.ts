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
