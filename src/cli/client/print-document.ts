import { isVisible } from "../../core/visible-text.js";

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
