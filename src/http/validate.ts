import type { z } from "zod";
import { type Invalid, Problem } from "./problem.js";

/**
 * Parses what came from outside.
 * @param at what stands in front of each pointer: `""` for the body, `query`, `path`
 * @throws Problem `invalid-request`, naming every place that is wrong and never what stood there
 */
export function validate<S extends z.ZodType>(schema: S, value: unknown, at: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const invalid = result.error.issues.slice(0, 20).map((issue) => invalidOf(issue, at));
  const first = invalid[0];
  throw new Problem(
    "invalid-request",
    first
      ? `${first.at || "The body"}: ${first.reason}${invalid.length > 1 ? ` (and ${invalid.length - 1} more)` : ""}`
      : "Not valid.",
    { invalid },
  );
}

function invalidOf(issue: z.core.$ZodIssue, at: string): Invalid {
  const path = issue.path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  return { at: `${at}${path}`, reason: reasonOf(issue) };
}

// Zod's own sentences for unknown keys, enums and custom checks do not quote values; keys may be mistyped
// secrets, so an unknown one is shown only when it looks like a field name.
function reasonOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== "unrecognized_keys") return issue.message;
  const shown = issue.keys.filter((key) => /^[A-Za-z][A-Za-z_-]{0,30}$/.test(key));
  return shown.length > 0 ? `unknown field ${shown.map((key) => `"${key}"`).join(", ")}` : "unknown field";
}
