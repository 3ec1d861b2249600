import type { createDocument } from "zod-openapi";
import { Timestamp } from "./contract.js";

type Document = ReturnType<typeof createDocument>;
type Operation = NonNullable<NonNullable<Document["paths"]>[string]["get"]>;
type Reply = NonNullable<Operation["responses"]>[string];
type Parameter = NonNullable<Operation["parameters"]>[number];
type SchemaObject = NonNullable<NonNullable<Document["components"]>["schemas"]>[string];
type Reference = { $ref: string };

/** One place in the document whose value can be replaced by a reference to a component of that name. */
type Place<T> = { name: string; value: T; replace: (reference: Reference) => void };

/**
 * Moves each parameter, header, reply and time that is at several operations into the components. Changes the document.
 * Of several that differ and would get the same name the most frequent one gets it; the others stay where they are.
 */
export function shareComponents(document: Document): void {
  const operations = Object.values(document.paths ?? {}).flatMap((path) =>
    [path.get, path.put, path.post, path.delete, path.patch].filter((operation) => operation !== undefined),
  );
  const components = { schemas: {}, parameters: {}, headers: {}, responses: {}, ...document.components };
  document.components = components;
  Object.values(components.parameters).forEach(describeOnce);
  share("parameters", components.parameters, operations.flatMap(parameterPlaces));
  const replies = operations.flatMap(({ responses = {} }) => Object.values(responses));
  // Before the replies, which are compared as they are in the end.
  share("headers", components.headers, replies.flatMap(headerPlaces));
  share("responses", components.responses, operations.flatMap(replyPlaces));
  share("schemas", components.schemas, Object.values(components.schemas).flatMap(timePlaces));
}

function share<T>(kind: string, components: Record<string, T>, places: readonly Place<T>[]): void {
  const alike = new Map<string, Place<T>[]>();
  for (const place of places) {
    const key = `${place.name} ${JSON.stringify(place.value)}`;
    alike.set(key, [...(alike.get(key) ?? []), place]);
  }
  for (const group of [...alike.values()].sort((one, other) => other.length - one.length)) {
    const [first] = group;
    if (first === undefined || group.length < 2 || first.name in components) continue;
    components[first.name] = first.value;
    for (const place of group) place.replace({ $ref: `#/components/${kind}/${place.name}` });
  }
}

function parameterPlaces({ parameters = [] }: Operation): Place<Parameter>[] {
  return parameters.flatMap((parameter, index) => {
    if (!("in" in parameter)) return [];
    describeOnce(parameter);
    const name = `${capitalised(parameter.name)}In${capitalised(parameter.in)}`;
    return [{ name, value: parameter, replace: (reference) => parameters.splice(index, 1, reference) }];
  });
}

/** zod-openapi writes the description at the parameter and again in its schema, where it can have gained the default. */
function describeOnce(parameter: Parameter): void {
  if (!("in" in parameter)) return;
  const { schema } = parameter;
  if (schema && "description" in schema && schema.description !== undefined) {
    parameter.description = schema.description;
    delete schema.description;
  }
  if (schema?.$ref) parameter.schema = { $ref: schema.$ref };
}

function headerPlaces(reply: Reply) {
  const headers = "headers" in reply ? (reply.headers ?? {}) : {};
  return Object.entries(headers).map(([name, value]) => ({
    name: name.replaceAll("-", ""),
    value,
    replace: (reference: Reference) => {
      headers[name] = reference;
    },
  }));
}

/** Only replies with a body: those without one are as short as the reference would be. */
function replyPlaces({ responses = {} }: Operation): Place<Reply>[] {
  return Object.entries(responses).flatMap(([status, reply]) => {
    if (!("content" in reply) || reply.content === undefined) return [];
    const [mediaType = ""] = Object.keys(reply.content);
    const schema = reply.content[mediaType]?.schema;
    if (!schema?.$ref) return [];
    return [
      {
        name: `${schema.$ref.split("/").at(-1)}${status}`,
        value: reply,
        replace: (reference) => {
          responses[status] = reference;
        },
      },
    ];
  });
}

/** Members that are a time, of those that have no description of their own. */
function timePlaces(schema: SchemaObject): Place<SchemaObject>[] {
  const properties = "properties" in schema ? (schema.properties ?? {}) : {};
  return Object.keys(properties).flatMap((member) => {
    const value = properties[member];
    if (value === undefined || !("format" in value) || value.format !== "date-time") return [];
    if (value.description !== Timestamp.meta()?.description) return [];
    return [
      {
        name: "Timestamp",
        value,
        replace: (reference) => {
          properties[member] = reference;
        },
      },
    ];
  });
}

const capitalised = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
