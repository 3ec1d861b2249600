import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject } from "../client/json-value.js";
import type { OperatorContext } from "./operator-context.js";
import { readGivenFile } from "./read-value.js";

/** A YAML or JSON file that holds one object. @throws CommandFailure with line and column when it cannot be read */
export async function readDocument(context: OperatorContext, path: string): Promise<JsonObject> {
  const text = (await readGivenFile(context, path)).toString("utf8");
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error) {
    const place = error.linePos?.[0];
    const at = place === undefined ? path : `${path}:${place.line}:${place.col}`;
    throw new CommandFailure(exitCodes.usage, `${at}: this is neither YAML nor JSON.`);
  }
  const value: unknown = document.toJS();
  if (isObject(value)) return value;
  throw new CommandFailure(exitCodes.usage, `${path}: this is no mapping of names to values.`);
}
