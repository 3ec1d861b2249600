/**
 * Whether a text has the shape of a glob, from its first character to its last: `*` stands for any run of characters
 * but `/`, `**` for any run. As in the branch patterns of GitHub workflows, so that `refs/heads/*` leaves out
 * `refs/heads/a/b`. All other characters stand for themselves.
 *
 * No regular expression: the text is a stranger's, and backtracking over several stars takes time that grows with a
 * power of its length. This takes the number of stars times the length.
 */
export function matchesGlob(glob: string, text: string): boolean {
  // reached[n]: what stands in the glob so far can be the first n characters.
  let reached = new Uint8Array(text.length + 1);
  reached[0] = 1;
  for (const part of glob.match(/\*+|[^*]+/g) ?? []) {
    reached = part.startsWith("*") ? afterStars(reached, text, part.length > 1) : afterLiteral(reached, text, part);
  }
  return reached[text.length] === 1;
}

function afterStars(reached: Uint8Array, text: string, crossesSlashes: boolean): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(reached.length);
  for (let at = 0; at < next.length; at += 1) {
    const goesOn = at > 0 && next[at - 1] === 1 && (crossesSlashes || text[at - 1] !== "/");
    if (reached[at] === 1 || goesOn) next[at] = 1;
  }
  return next;
}

function afterLiteral(reached: Uint8Array, text: string, literal: string): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(reached.length);
  for (let at = reached.indexOf(1); at >= 0; at = reached.indexOf(1, at + 1)) {
    if (text.startsWith(literal, at)) next[at + literal.length] = 1;
  }
  return next;
}

/** Whether a glob says anything: one without a letter or digit, such as `*` or `**` + `/*`, fits what nobody meant. */
export function saysSomething(glob: string): boolean {
  return /[\p{L}\p{N}]/u.test(glob);
}
