/**
 * Whether a text has the shape of a glob, from its first character to its last: `*` stands for any run of characters
 * but `/`, `**` for any run. As in the branch patterns of GitHub workflows, so that `refs/heads/*` leaves out
 * `refs/heads/a/b`. All other characters stand for themselves.
 *
 * No regular expression: the text is a stranger's, and backtracking over several stars takes time that grows with a
 * power of its length. This takes length times length.
 */
export function matchesGlob(glob: string, text: string): boolean {
  const parts = glob.match(/\*+|[^*]/g) ?? [];
  // reached[n]: the parts so far can stand for the first n characters.
  let reached = new Uint8Array(text.length + 1);
  reached[0] = 1;
  for (const part of parts) {
    const next = new Uint8Array(text.length + 1);
    for (let at = 0; at <= text.length; at += 1) {
      const before = at > 0 ? text[at - 1] : undefined;
      if (part.startsWith("*")) {
        const goesOn = before !== undefined && next[at - 1] === 1 && (part.length > 1 || before !== "/");
        if (reached[at] === 1 || goesOn) next[at] = 1;
      } else if (before === part && reached[at - 1] === 1) next[at] = 1;
    }
    reached = next;
  }
  return reached[text.length] === 1;
}

/** Whether a glob says anything: one without a letter or digit, such as `*` or `**` + `/*`, fits what nobody meant. */
export function saysSomething(glob: string): boolean {
  return /[\p{L}\p{N}]/u.test(glob);
}
