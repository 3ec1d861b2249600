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
  const found = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const { operationId, summary = "", parameters = [], security } = operation;
      const known = parameters.map((one) => resolved(document, one));
      const reduced = {
        method: method.toUpperCase(),
        path,
        about: summary,
        parameters: Object.fromEntries(
          known.map(({ name, in: place, schema }) => [name, { in: place, type: typeOf(document, schema) }]),
        ),
        ...bodyOf(document, operation),
        ...replyOf(document, operation),
        ...(security?.length === 0 && { isOpen: true }),
      };
      return [operationId, reduced];
    }),
  );
  return Object.fromEntries(found);
}

function resolved(document, value) {
  if (value?.$ref === undefined) return value;
  const names = value.$ref.slice(2).split("/");
  return resolved(
    document,
    names.reduce((part, name) => part[name], document),
  );
}

function typeOf(document, given) {
  const schema = resolved(document, given);
  const types = [schema.type ?? []].flat().filter((type) => type !== "null");
  if (types.length !== 1) return "data";
  const [type] = types;
  if (type === "boolean" || type === "integer" || type === "number") return type;
  if (type === "string") return "text";
  return type === "array" && typeOf(document, schema.items ?? {}) === "text" ? "texts" : "data";
}

/** Of an object that may have one of several forms: the members of all. */
function membersOf(document, given) {
  const { properties = {}, anyOf = [], oneOf = [], allOf = [] } = resolved(document, given);
  const ofForms = [...anyOf, ...oneOf, ...allOf].map((form) => membersOf(document, form));
  const own = Object.entries(properties).map(([name, schema]) => [name, typeOf(document, schema)]);
  return Object.assign({}, ...ofForms, Object.fromEntries(own));
}

function bodyOf(document, { requestBody }) {
  const [found] = Object.entries(resolved(document, requestBody)?.content ?? {});
  if (found === undefined) return {};
  const [mediaType, { schema = {} }] = found;
  return { body: { mediaType, members: membersOf(document, schema) } };
}

function replyOf(document, { responses }) {
  const success = Object.entries(responses).find(([status]) => status.startsWith("2"))?.[1];
  const [mediaType] = Object.keys(resolved(document, success)?.content ?? {});
  return mediaType === undefined ? {} : { reply: mediaType };
}
