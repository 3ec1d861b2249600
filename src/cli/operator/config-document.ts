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
export function findingLines(file: string, { body }: Answer): string[] {
  const invalid = listAt(body, "invalid").map((item) => `${placeIn(file, item)}: ${sentenceAt(item, "reason") ?? ""}`);
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

function placeIn(file: string, item: unknown): string {
  const at = sentenceAt(item, "at") ?? "";
  const [, line, column] = /^line (\d+), column (\d+)$/.exec(at) ?? [];
  if (line === undefined) return at === "" ? file : `${file}: ${at}`;
  return `${file}:${line}:${column}`;
}
