import { z } from "zod";

type JsonSchema = z.core.JSONSchema.JSONSchema;

/**
 * The names of the fields that an object at this place of a schema can have, for a message that helps whoever
 * mistyped one; none when there is no object at that place.
 */
export function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  let place = resolve(root, root);
  for (const part of path) {
    const { properties, items } = place;
    const next = typeof part === "number" ? items : properties?.[String(part)];
    place = resolve(root, typeof next === "object" && !Array.isArray(next) ? next : {});
  }
  return Object.keys(place.properties ?? {});
}

// A schema with an id of its own stands under $defs, and here only its name.
function resolve(root: JsonSchema, schema: JsonSchema): JsonSchema {
  const definition = schema.$ref === undefined ? undefined : root.$defs?.[schema.$ref.replace("#/$defs/", "")];
  return definition ?? schema;
}
