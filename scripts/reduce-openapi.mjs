// Reduces openapi.yaml to what the command line needs to send a request: for each operation its method, path, parameters,
// members of the body, and media types. Writes it as a module, so that the ids of the operations are a type.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Writes the module to `output`. */
export async function writeOperations(output) {
  const { parse } = await import("yaml");
  const operations = reduce(parse(await readFile(join(root, "openapi.yaml"), "utf8")));
  const text = `// Written from openapi.yaml by scripts/reduce-openapi.mjs.
import type { Operation } from "../operation.js";

export const operations = ${JSON.stringify(operations, undefined, 1)} satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;
`;
  await mkdir(dirname(output), { recursive: true });
  await writeFile(output, text);
}

/** The operations by their id, in the order of their paths. */
export function reduce(document) {
  const at = (reference) =>
    reference
      .slice(2)
      .split("/")
      .reduce((value, name) => value[name], document);
  const resolved = (value) => (value?.$ref === undefined ? value : resolved(at(value.$ref)));

  const typeOf = (given) => {
    const schema = resolved(given);
    const types = [schema.type ?? []].flat().filter((type) => type !== "null");
    if (types.length !== 1) return "data";
    const [type] = types;
    if (type === "boolean" || type === "integer" || type === "number") return type;
    if (type === "string") return "text";
    return type === "array" && typeOf(schema.items ?? {}) === "text" ? "texts" : "data";
  };

  /** Of a body that may have one of several forms: the members of all. */
  const membersOf = (given) => {
    const { properties = {}, anyOf = [], oneOf = [], allOf = [] } = resolved(given);
    const own = Object.entries(properties).map(([name, schema]) => [name, typeOf(schema)]);
    return Object.assign({}, ...[...anyOf, ...oneOf, ...allOf].map(membersOf), Object.fromEntries(own));
  };

  const bodyOf = ({ requestBody }) => {
    const [found] = Object.entries(resolved(requestBody)?.content ?? {});
    if (found === undefined) return {};
    const [mediaType, { schema = {} }] = found;
    return { body: { mediaType, members: membersOf(schema) } };
  };

  const replyOf = ({ responses }) => {
    const success = Object.entries(responses).find(([status]) => status.startsWith("2"))?.[1];
    const [mediaType] = Object.keys(resolved(success)?.content ?? {});
    return mediaType === undefined ? {} : { reply: mediaType };
  };

  const parametersOf = ({ parameters = [] }) =>
    Object.fromEntries(
      parameters.map(resolved).map(({ name, in: place, schema }) => [name, { in: place, type: typeOf(schema) }]),
    );

  const found = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [
      operation.operationId,
      {
        method: method.toUpperCase(),
        path,
        about: operation.summary ?? "",
        parameters: parametersOf(operation),
        ...bodyOf(operation),
        ...replyOf(operation),
      },
    ]),
  );
  return Object.fromEntries(found);
}
