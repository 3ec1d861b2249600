import { visibleInline } from "../../core/visible-text.js";
import { isObject, listAt, sentenceAt, textAt } from "../client/json-value.js";
import type { Answer } from "../client/send-once.js";
import { pathOf } from "./ask-service.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";

export const configPath = (client: OperatorClient, ...below: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "config", ...below);

/** The service has read the document and does not take it; any other refusal is about who asks, or when. */
export function isAboutDocument({ status, body }: Answer): boolean {
  return status === 422 && textAt(body, "code") === "invalid-config";
}

/** What is wrong with a document and what may be, one a line, as compilers write it: `FILE:3:5: reason`. */
export function findingLines(file: string, { body }: Answer, document: string): string[] {
  const invalid = listAt(body, "invalid").map(
    (item) => `${placeIn(file, item)}: ${sentenceAt(item, "reason") ?? ""}${excerpt(document, item)}`,
  );
  const warnings = listAt(body, "warnings").map(
    (item) => `${placeIn(file, item)}: warning: ${sentenceAt(item, "message") ?? ""}`,
  );
  // Of an empty document there is a sentence and no place.
  const detail = invalid.length === 0 ? sentenceAt(body, "detail") : undefined;
  return [...(detail === undefined ? [] : [`${file}: ${detail}`]), ...invalid, ...warnings];
}

/** What a publication has done. */
export function writtenSentence(body: unknown): string {
  const version = isObject(body) ? String(body.version) : "";
  return isObject(body) && body.unchanged === true
    ? `Version ${version} says the same already.`
    : `Published version ${version}.`;
}

/**
 * The line that a finding is about, and how far it and the one before it are indented: a slip shows so. Where the line
 * after it is indented too far, the parser finds the fault in this one: then that line is shown.
 */
function excerpt(document: string, item: unknown): string {
  const { line } = lineAndColumn(item);
  const lines = document.split(/\r?\n/);
  const at = (line ?? 0) - 1;
  if (!saysSomething(lines[at])) return "";
  const after = lines.findIndex((text, index) => index > at && saysSomething(text));
  const isAfter = after !== -1 && hasValue(lines[at]) && indentOf(lines[after]) > indentOf(lines[at]);
  const shown = isAfter ? after : at;
  const before = isAfter ? at : lines.slice(0, at).findLastIndex(saysSomething);
  const text = visibleInline((lines[shown] ?? "").trim().slice(0, maxShown));
  const beside = before === -1 ? "" : `; line ${before + 1} by ${indentOf(lines[before])}`;
  return ` (line ${shown + 1}: "${text}", indented by ${indentOf(lines[shown])}${beside})`;
}

const maxShown = 80;

const saysSomething = (line = ""): boolean => line.trim() !== "" && !/^\s*#/.test(line);

/** A key and its value: what is indented further below it is of no key. */
const hasValue = (line = ""): boolean => /:\s+[^\s#|>]/.test(line);

/** To the key: the dash of a list belongs to the indent. */
const indentOf = (line = ""): number => /^\s*(?:- +)*/.exec(line)?.[0].length ?? 0;

function lineAndColumn(item: unknown): { line?: number; column?: number } {
  const [, line, column] = /^line (\d+), column (\d+)$/.exec(sentenceAt(item, "at") ?? "") ?? [];
  return line === undefined || column === undefined ? {} : { line: Number(line), column: Number(column) };
}

function placeIn(file: string, item: unknown): string {
  const at = sentenceAt(item, "at") ?? "";
  const { line, column } = lineAndColumn(item);
  if (line === undefined) return at === "" ? file : `${file}: ${at}`;
  return `${file}:${line}:${column}`;
}
