import { type Invalid, Problem } from "../core/problem.js";

/** Refuses a list of writes that names one secret twice: which of the two would win is nobody's guess. */
export function refuseDuplicates(names: readonly string[], at: (index: number) => string): void {
  const seen = new Set<string>();
  const invalid: Invalid[] = [];
  for (const [index, name] of names.entries()) {
    if (seen.has(name)) invalid.push({ at: at(index), reason: `"${name}" is named twice in one batch` });
    seen.add(name);
  }
  if (invalid[0]) throw new Problem("invalid-request", `${invalid[0].at}: ${invalid[0].reason}`, { invalid });
}
