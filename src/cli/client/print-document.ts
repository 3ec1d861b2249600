import { isVisible, visibleInline } from "../../core/visible-text.js";

/** How a command prints data: for people, or with the members of the API for programs. */
export const outputForms = ["table", "json", "yaml"] as const;

export type OutputForm = (typeof outputForms)[number];

export async function documentOf(form: Exclude<OutputForm, "table">, value: unknown): Promise<string> {
  if (form === "json") return JSON.stringify(value, undefined, 2);
  // Loaded only for YAML: a job that logs in does not need it.
  const { Document, visit } = await import("yaml");
  const document = new Document(value);
  // Double quotes allow escapes, so control characters stay in the value without reaching the terminal.
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === "string" && !isVisible(node.value)) node.type = "QUOTE_DOUBLE";
    },
  });
  return document.toString({ lineWidth: 0 }).trimEnd();
}

/** A table with columns as wide as their widest cell. */
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
