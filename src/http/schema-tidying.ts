import { globalRegistry, safeParse } from "zod/v4/core";
import type { CreateDocumentOptions } from "zod-openapi";

type Override = Exclude<CreateDocumentOptions["override"], undefined>;

/**
 * Says less where zod says more than a client generator can use: for `zod-openapi`'s `override`, called for each schema.
 */
export const tidySchema: Override = ({ jsonSchema, zodSchema, io }) => {
  // A `$ref` alone is what generators follow; OpenAPI 3.0 needs `allOf` only where something stands beside it.
  const [only, ...others] = jsonSchema.allOf ?? [];
  if (only?.$ref !== undefined && others.length === 0 && Object.keys(jsonSchema).length === 1) {
    delete jsonSchema.allOf;
    jsonSchema.$ref = only.$ref;
  }
  // The format says it; zod's pattern for it is a leap-year calendar.
  if (jsonSchema.format === "date-time" || jsonSchema.format === "uuid") delete jsonSchema.pattern;
  // Without a format, generators of Go take `number` for float32, which rounds 123456789.
  if (jsonSchema.type === "integer") jsonSchema.format = "int64";
  if (jsonSchema.type === "number") jsonSchema.format = "double";
  // Generators name a constant after each value of an enum: those of two schemas with one value each collide.
  if (jsonSchema.enum?.length === 1) {
    say(jsonSchema, `Always ${JSON.stringify(jsonSchema.enum[0])}.`);
    delete jsonSchema.enum;
  }
  // A member with a default is one that generators require, or whose value they cannot name. The service fills it in.
  if (io === "input" && jsonSchema.default !== undefined) {
    say(jsonSchema, `Default: ${JSON.stringify(jsonSchema.default)}.`);
    delete jsonSchema.default;
  }
  // Generators of Go put the constants of all enums in one name space, where RUNNING of two of them collide.
  const name = globalRegistry.get(zodSchema)?.id;
  if (jsonSchema.enum && name !== undefined)
    Object.assign(jsonSchema, { "x-enum-varnames": jsonSchema.enum.map((value) => upperSnake(`${name}_${value}`)) });
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  // "One of these members" is a function of ours; the schema says at least that nothing at all is not enough.
  if (io === "input" && jsonSchema.type === "object" && !jsonSchema.required?.length && refusesEmpty(zodSchema))
    jsonSchema.minProperties = 1;
  // A reply may gain members: a client of today must not refuse them.
  if (io === "output" && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
};

type ZodSchema = Parameters<Override>[0]["zodSchema"];

const refusesEmpty = (schema: ZodSchema): boolean => !safeParse(schema, {}).success;

function say(jsonSchema: Parameters<Override>[0]["jsonSchema"], sentence: string): void {
  jsonSchema.description = jsonSchema.description === undefined ? sentence : `${jsonSchema.description} ${sentence}`;
}

/** `JobState_half-done` to `JOB_STATE_HALF_DONE` */
const upperSnake = (text: string): string =>
  text
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/\W+/g, "_")
    .toUpperCase();
