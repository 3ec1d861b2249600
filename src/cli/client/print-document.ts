import { isVisible, visibleInline } from "../../core/visible-text.js";

/** How a command prints data: for people, or for programs with the members of the API. */
export const outputForms = ["table", "json", "yaml"] as const;

export type OutputForm = (typeof outputForms)[number];

/** A value as JSON or YAML. */
export async function documentOf(form: Exclude<OutputForm, "table">, value: unknown): Promise<string> {
  if (form === "json") return JSON.stringify(value, undefined, 2);
  // Loaded by whoever asks for it: a job that logs in has no use for it.
  const { Document, visit } = await import("yaml");
  const document = new Document(value);
  // In double quotes what the terminal must not see can be escaped, and the value stays the same.
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === "string" && !isVisible(node.value)) node.type = "QUOTE_DOUBLE";
    },
  });
  return document.toString({ lineWidth: 0 }).trimEnd();
}

/** Columns of text, each as wide as its widest cell, two blanks between. */
export function showTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows].map((row) => row.map(visibleInline));
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
