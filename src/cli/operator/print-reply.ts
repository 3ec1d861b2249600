import { oneLine } from "../../core/visible-text.js";
import { isObject } from "../client/json-value.js";
import { documentOf, type OutputForm } from "../client/print-document.js";
import { showTable } from "../client/show-table.js";
import type { OperatorContext } from "./operator-context.js";

export type OutputFlags = { output?: OutputForm };

/** A column: its heading, and the member that it shows or how it is made of an item. */
export type Column = readonly [string, string | ((item: unknown) => string)];

type Printer = Pick<OperatorContext, "terminal" | "paint">;

/** A list, as programs get it from the API, or as a table with these columns. */
export async function printItems(
  printer: Printer,
  form: OutputForm | undefined,
  items: readonly unknown[],
  columns: readonly Column[],
): Promise<void> {
  await printReply(printer, form, { items }, () => tableOf(printer, items, columns));
}

/** One thing, as programs get it from the API, or as lines of names and values. */
export async function printOne(printer: Printer, form: OutputForm | undefined, value: unknown): Promise<void> {
  await printReply(printer, form, value, () => detailsOf(value));
}

/** A reply as JSON or YAML, or as the text that `table` makes of it. */
export async function printReply(
  { terminal }: Pick<Printer, "terminal">,
  form: OutputForm = "table",
  value: unknown,
  table: () => string,
): Promise<void> {
  terminal.out(form === "table" ? table() : await documentOf(form, value));
}

export function tableOf(
  { paint }: Pick<Printer, "paint">,
  items: readonly unknown[],
  columns: readonly Column[],
): string {
  const rows = items.map((item) => columns.map(([, of]) => (typeof of === "string" ? cellAt(item, of) : of(item))));
  const [header = "", ...lines] = showTable(
    columns.map(([heading]) => heading),
    rows,
  ).split("\n");
  return [paint.bold(header), ...lines].join("\n");
}

/** A member as one line of text. */
export function cellAt(item: unknown, name: string): string {
  return cellOf(isObject(item) ? item[name] : undefined);
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.map((one) => cellOf(one)).join(", ");
  // A terminal has commands of its own, and names come from other people.
  return oneLine(typeof value === "object" ? JSON.stringify(value) : String(value));
}

/** A line for each member. */
export function detailsOf(value: unknown): string {
  const members = isObject(value) ? Object.entries(value) : [];
  const width = Math.max(0, ...members.map(([name]) => name.length));
  return members.map(([name, member]) => `${`${name}:`.padEnd(width + 2)}${cellOf(member)}`.trimEnd()).join("\n");
}
