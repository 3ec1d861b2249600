/** Those of the last writes: one that was killed before its end leaves what an earlier one has written. */
const kept = 4;

/** The marks of what this program has written in one place, with one more. Each is without blanks. */
export function withMark(marks: string | undefined, mark: string): string {
  const earlier = marks?.split(" ").filter((one) => one !== mark) ?? [];
  return [...earlier, mark].slice(-kept).join(" ");
}

/** Whether this is the mark of something that this program has written there. */
export function hasMark(marks: string | undefined, mark: string | undefined): boolean {
  return marks !== undefined && mark !== undefined && marks.split(" ").includes(mark);
}
