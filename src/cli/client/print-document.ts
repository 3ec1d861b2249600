/** How a command prints data: for people, or for programs with the members of the API. */
export const outputForms = ["table", "json", "yaml"] as const;

export type OutputForm = (typeof outputForms)[number];

/** A value as JSON or YAML. */
export async function documentOf(form: Exclude<OutputForm, "table">, value: unknown): Promise<string> {
  if (form === "json") return JSON.stringify(value, undefined, 2);
  // Loaded by whoever asks for it: a job that logs in has no use for it.
  const { stringify } = await import("yaml");
  return stringify(value, { lineWidth: 0 }).trimEnd();
}
