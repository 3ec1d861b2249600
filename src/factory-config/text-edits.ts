/** Replaces the characters from `start` to `end` (not included) by `insert`. Offsets are those of the text before any edit. */
export type TextEdit = { start: number; end: number; insert: string };

/** Applies edits that do not overlap. Every character outside them stays as it is. */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  const inOrder = edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  let result = "";
  let at = 0;
  for (const { start, end, insert } of inOrder) {
    if (start < at) throw new RangeError("Two edits of one document overlap");
    result += text.slice(at, start) + insert;
    at = end;
  }
  return result + text.slice(at);
}

export function insertion(at: number, insert: string): TextEdit {
  return { start: at, end: at, insert };
}

export function cut(start: number, end: number): TextEdit {
  return { start, end, insert: "" };
}

/** Where the line of `offset` begins. */
export function lineStart(text: string, offset: number): number {
  return offset === 0 ? 0 : text.lastIndexOf("\n", offset - 1) + 1;
}

/** Where the line of `offset` ends, before its CR and LF. */
export function lineEnd(text: string, offset: number): number {
  const feed = text.indexOf("\n", offset);
  if (feed === -1) return text.length;
  return feed > offset && text[feed - 1] === "\r" ? feed - 1 : feed;
}

/** Where the next line begins; the end of the text after the last one. */
export function nextLine(text: string, offset: number): number {
  const feed = text.indexOf("\n", offset);
  return feed === -1 ? text.length : feed + 1;
}

/** How many characters stand before `offset` in its line. */
export function columnOf(text: string, offset: number): number {
  return offset - lineStart(text, offset);
}

/** Says whether nothing but spaces stands before `offset` in its line. */
export function isFirstInLine(text: string, offset: number): boolean {
  return /^ *$/.test(text.slice(lineStart(text, offset), offset));
}

/** Says whether nothing but blanks and a comment stands after `offset` in its line. */
export function isLastInLine(text: string, offset: number): boolean {
  return /^[ \t]*(?:[ \t]#.*)?$/.test(text.slice(offset, lineEnd(text, offset)));
}

/** The document's own line end: that of its first line. */
export function lineBreakOf(text: string): "\r\n" | "\n" {
  return /^[^\n]*\r\n/.test(text) ? "\r\n" : "\n";
}

/** Where the comment lines end that follow the line of `offset` directly and are indented by more than `column`. */
export function endOfOwnComments(text: string, offset: number, column: number): number {
  let end = lineEnd(text, offset);
  for (;;) {
    const start = nextLine(text, end);
    const [indent = ""] = /^ *(?=#)/.exec(text.slice(start, lineEnd(text, start))) ?? [];
    if (indent.length <= column) return end;
    end = lineEnd(text, start);
  }
}

/** Where the comma stands that comes next after `offset`, past blanks, line ends and comments. */
export function commaAfter(text: string, offset: number): number | undefined {
  const [blank = ""] = /^(?:\s+(?:#.*)?)*/.exec(text.slice(offset)) ?? [];
  return text[offset + blank.length] === "," ? offset + blank.length : undefined;
}
