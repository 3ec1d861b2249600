import type { CreateDocumentOptions } from "zod-openapi";

type Override = Exclude<CreateDocumentOptions["override"], undefined>;

/**
 * Says less where zod says more than a client generator can use: for `zod-openapi`'s `override`, called for each schema.
 */
export const tidySchema: Override = ({ jsonSchema, io }) => {
  // A `$ref` alone is what generators follow; OpenAPI 3.0 needs `allOf` only where something stands beside it.
  const [only, ...others] = jsonSchema.allOf ?? [];
  if (only?.$ref !== undefined && others.length === 0 && Object.keys(jsonSchema).length === 1) {
    delete jsonSchema.allOf;
    jsonSchema.$ref = only.$ref;
  }
  // The format says it; zod's pattern for it is a leap-year calendar.
  if (jsonSchema.format === "date-time" || jsonSchema.format === "uuid") delete jsonSchema.pattern;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  // A reply may gain members: a client of today must not refuse them.
  if (io === "output" && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
};
