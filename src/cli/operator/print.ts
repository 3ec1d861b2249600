import { oneLine } from "../../core/visible-text.js";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, listAt, sentenceAt } from "../client/json-value.js";
import { styled, type Terminal } from "../client/output.js";
import { documentOf, type OutputForm, showTable } from "../client/print-document.js";

/** The options that every command has for what it prints. */
export type OutputFlags = { output?: OutputForm; json?: boolean; query?: string };

/** Emphasis on a terminal; elsewhere the text as it is. */
export type Paint = Record<"bold" | "red" | "green" | "yellow", (text: string) => string>;

/**
 * Whether to colour: by FORCE_COLOR, else by NO_COLOR (no-color.org: set and not empty), else on a terminal. Node has the
 * same order.
 */
export function mayColour(environment: Environment, isTerminal: boolean): boolean {
  const { FORCE_COLOR, NO_COLOR, TERM } = environment;
  if (FORCE_COLOR !== undefined) return !["0", "false"].includes(FORCE_COLOR);
  if (NO_COLOR) return false;
  return isTerminal && TERM !== "dumb";
}

export function paintFor(isColoured: boolean): Paint {
  const painter = (on: number, off: number) => (text: string) => (isColoured ? styled(text, on, off) : text);
  return { bold: painter(1, 22), red: painter(31, 39), green: painter(32, 39), yellow: painter(33, 39) };
}

/** Prints data as the flags say, else as `text`. */
export async function printData(
  { out }: Pick<Terminal, "out">,
  flags: OutputFlags,
  data: unknown,
  text: () => string,
): Promise<void> {
  const form = formOf(flags);
  if (flags.query !== undefined) out(await selected(flags.query, data, form));
  else if (form === "table") out(text());
  else out(await documentOf(form, data));
}

export const formOf = ({ json, output = "table" }: OutputFlags): OutputForm => (json === true ? "json" : output);

export const isForProgram = (flags: OutputFlags): boolean => formOf(flags) !== "table" || flags.query !== undefined;

/**
 * What a JMESPath expression selects. Without --output a text is printed bare, and a list of texts one a line, for shells.
 */
async function selected(expression: string, data: unknown, form: OutputForm): Promise<string> {
  const { search } = await import("@jmespath-community/jmespath");
  let found: unknown;
  try {
    found = search(JSON.parse(JSON.stringify(data)), expression);
  } catch (error) {
    const reason = error instanceof Error ? oneLine(error.message) : "";
    throw new CommandFailure(exitCodes.usage, `--query is not a valid JMESPath expression (jmespath.org): ${reason}`);
  }
  if (form !== "table") return documentOf(form, found);
  const all = Array.isArray(found) ? found : [found];
  const isPlain = all.every((one) => !isObject(one) && !Array.isArray(one));
  if (!isPlain) return documentOf("json", found);
  // Each text of a list has one line; a single text may have several, such as a certificate.
  const texts = all.map((one) => (one === null || one === undefined ? "" : String(one)));
  return Array.isArray(found) ? texts.map(oneLine).join("\n") : texts.join("");
}

/** @param columns - members, separated by blanks, each with `HEADING=` before it for another heading */
export function tableOf({ bold }: Paint, items: readonly unknown[], columns: string): string {
  const parts = columns.split(" ").map((column) => column.split("=").reverse());
  const rows = items.map((item) => parts.map(([member = ""]) => shortCell(isObject(item) ? item[member] : undefined)));
  const headings = parts.map(([member = "", heading]) => heading?.replaceAll("_", " ") ?? headingOf(member));
  const [header = "", ...lines] = showTable(headings, rows).split("\n");
  return [bold(header), ...lines].join("\n");
}

/** `lastUsedAt` becomes LAST USED. */
const headingOf = (member: string): string =>
  member
    .replace(/(?<=.)(At|Id)$/, "")
    .replace(/[A-Z]/g, (letter) => ` ${letter}`)
    .toUpperCase();

/** A list of objects is shown as its length. */
const shortCell = (value: unknown): string =>
  Array.isArray(value) && value.some(isObject) ? String(value.length) : cellOf(value);

/** A member as one line of text. */
export function cellAt(item: unknown, name: string): string {
  return cellOf(isObject(item) ? item[name] : undefined);
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.map((one) => cellOf(one)).join(", ");
  // Names come from other people and must not act on the terminal.
  return oneLine(typeof value === "object" ? JSON.stringify(value) : String(value));
}

export function detailsOf(value: unknown): string {
  const members = isObject(value) ? Object.entries(value) : [];
  const width = Math.max(0, ...members.map(([name]) => name.length));
  return members.map(([name, member]) => `${`${name}:`.padEnd(width + 2)}${cellOf(member)}`.trimEnd()).join("\n");
}

/** The sentence with each `{name}` replaced by that value. */
export const filledIn = (sentence: string, values: unknown): string =>
  sentence.replace(/\{(\w+)\}/g, (_, name: string) => cellAt(values, name));

export function sayWarnings({ say }: Pick<Terminal, "say">, body: unknown): void {
  for (const warning of [...listAt(body, "warnings"), ...listAt(body, "findings")]) {
    const at = sentenceAt(warning, "at");
    say(`Warning: ${at === undefined ? "" : `${at}: `}${sentenceAt(warning, "message") ?? ""}`);
  }
}
