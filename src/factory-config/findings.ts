import type { Invalid } from "../core/problem.js";
import type { Locate } from "./document-text.js";

/** A remark on a place of the document; `offset` in UTF-16 units of its text. */
export type Finding = { offset: number; reason: string };

/** Where the problems and warnings of a document are gathered while it is read. */
export type Findings = { locate: Locate; invalid: Finding[]; warnings: Finding[] };

// A hostile document can be wrong in a hundred thousand places; no one reads more than these.
export const maxReported = 100;

/** The findings from the top of the document downwards, each once. */
export function inDocumentOrder(findings: readonly Finding[], locate: Locate): Invalid[] {
  const sorted = findings.toSorted((a, b) => a.offset - b.offset);
  const distinct = new Map(sorted.map((finding) => [`${finding.offset} ${finding.reason}`, finding]));
  return [...distinct.values()].slice(0, maxReported).map(({ offset, reason }) => ({ at: locate(offset), reason }));
}
