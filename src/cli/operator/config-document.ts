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

/** The line that a finding is about, and how far it and the one before it are indented: a slip shows so. */
function excerpt(document: string, item: unknown): string {
  const { line } = lineAndColumn(item);
  const lines = document.split(/\r?\n/);
  const found = line === undefined ? undefined : lines[line - 1];
  if (line === undefined || found === undefined || found.trim() === "") return "";
  const before = lines.slice(0, line - 1).findLastIndex((text) => text.trim() !== "" && !/^\s*#/.test(text));
  const beside = before === -1 ? "" : `; line ${before + 1} by ${indentOf(lines[before] ?? "")}`;
  return ` (line ${line}: "${visibleInline(found.trim().slice(0, maxShown))}", indented by ${indentOf(found)}${beside})`;
}

const maxShown = 80;

const indentOf = (line: string): number => line.length - line.trimStart().length;

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
