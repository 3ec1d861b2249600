import { oneLine } from "../../core/visible-text.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { type JsonObject, parseJson } from "../client/json-value.js";
import { type OperationId, operations } from "./generated/operations.js";

/** How a value of a parameter or a member is sent. `data` is any other JSON. */
export type ValueType = "text" | "texts" | "integer" | "number" | "boolean" | "data";

/** An operation of the API, as the build takes it from openapi.yaml. */
export type Operation = {
  method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  path: string;
  about: string;
  parameters: Readonly<Record<string, { in: "path" | "query" | "header"; type: ValueType }>>;
  /** A body with several forms has the members of all of them. */
  body?: { mediaType: string; members: Readonly<Record<string, ValueType>> };
  /** Media type of a success; absent without a body. */
  reply?: string;
  /** Needs no credential, or has it in the body. */
  isOpen?: boolean;
};

/** Values by the name of the parameter or member; `undefined` ones are left out. */
export type Values = Readonly<Record<string, unknown>>;

/** A request without its credential. */
export type OperationRequest = {
  method: Operation["method"];
  /** Below the service's URL, with the query. */
  path: string;
  headers: Readonly<Record<string, string>>;
  body?: string | Buffer;
};

export const operationIds: readonly OperationId[] = Object.keys(operations).filter(isOperation);

export function isOperation(name: string): name is OperationId {
  return Object.hasOwn(operations, name);
}

export const operationOf = (id: OperationId): Operation => operations[id];

export const hasParameter = (id: OperationId, name: string): boolean => Object.hasOwn(operations[id].parameters, name);

/** The type of a parameter or member; `undefined` for an unknown name. */
export function typeOfValue({ parameters, body }: Operation, name: string): ValueType | undefined {
  if (Object.hasOwn(parameters, name)) return parameters[name]?.type;
  return body && Object.hasOwn(body.members, name) ? body.members[name] : undefined;
}

/** A text as a value of that type. @param what - the option, for the message @throws CommandFailure for another type */
export function typedValue(type: ValueType, text: string, what: string): unknown {
  switch (type) {
    case "text":
      return text;
    case "texts":
      return [text];
    case "integer":
      if (/^-?\d{1,15}$/.test(text)) return Number(text);
      throw new CommandFailure(exitCodes.usage, `${what}: "${oneLine(text)}" is not a whole number.`);
    case "number":
      if (/^-?\d{1,15}(?:\.\d{1,15})?$/.test(text)) return Number(text);
      throw new CommandFailure(exitCodes.usage, `${what}: "${oneLine(text)}" is not a number.`);
    case "boolean":
      if (text === "true" || text === "false") return text === "true";
      throw new CommandFailure(exitCodes.usage, `${what}: write true or false, not "${oneLine(text)}".`);
    case "data": {
      const value = parseJson(text);
      if (value !== undefined) return value;
      throw new CommandFailure(exitCodes.usage, `${what}: this must be JSON, such as {"name": "value"}.`);
    }
    default:
      return type satisfies never;
  }
}

/**
 * Puts each value into the path, the query, a header or the body.
 * @param whole - the whole body, instead of its members
 * @throws CommandFailure when a value of the path is missing
 */
export function requestOf(id: OperationId, values: Values, whole?: Buffer): OperationRequest {
  const operation = operationOf(id);
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const within = (place: string) =>
    given.flatMap(([name, value]): [string, string][] =>
      operation.parameters[name]?.in === place ? [[name, String(value)]] : [],
    );
  const members = Object.fromEntries(given.filter(([name]) => !Object.hasOwn(operation.parameters, name)));
  // A bug in a row; it must not drop the value silently.
  const [unknown] = operation.body === undefined || whole !== undefined ? Object.keys(members) : [];
  if (unknown !== undefined) throw new Error(`${id} has no ${unknown}`);
  const query = new URLSearchParams(within("query")).toString();
  const body = whole ?? bodyOf(operation, members);
  return {
    method: operation.method,
    path: `${pathOf(operation, new Map(within("path")))}${query === "" ? "" : `?${query}`}`,
    headers: {
      ...Object.fromEntries(within("header").map(([name, value]) => [name.toLowerCase(), value])),
      ...(body !== undefined && operation.body && { "content-type": operation.body.mediaType }),
      ...(operation.reply && { accept: operation.reply }),
    },
    ...(body !== undefined && { body }),
  };
}

function pathOf({ path }: Operation, values: ReadonlyMap<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values.get(name);
    if (value !== undefined) return encodeURIComponent(value);
    throw new CommandFailure(exitCodes.usage, `The path ${path} needs ${name}. Pass --field ${name}=VALUE.`);
  });
}

function bodyOf({ body }: Operation, members: JsonObject): string | undefined {
  if (body === undefined || (body.mediaType === "application/yaml" && Object.keys(members).length === 0))
    return undefined;
  if (body.mediaType !== "application/x-www-form-urlencoded") return JSON.stringify(members);
  return new URLSearchParams(
    Object.fromEntries(Object.entries(members).map(([name, value]) => [name, String(value)])),
  ).toString();
}
