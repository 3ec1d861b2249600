import { parseDocument } from "../../../src/factory-config/parse-document.js";

/** The problems of a document, as `[at, reason]`. */
export function problemsOf(source: string | Uint8Array): [string, string][] {
  const result = parseDocument(source);
  return result.ok ? [] : result.invalid.map(({ at, reason }) => [at, reason]);
}
