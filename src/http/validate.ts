import { z } from "zod";
import { nearestName } from "../core/nearest-name.js";
import { type Invalid, Problem } from "../core/problem.js";
import { FilterText } from "./contract.js";

/** A body can have thousands of members that are unknown, and comparing them with those that are known is slow. */
const maxCompared = 20;

/** fioctl shows the sentence and not the list, so several fit in it; one that goes on and on is read by no one. */
const maxInDetail = 3;

/**
 * Parses what came from outside.
 * @param at what precedes each pointer: `""` for the body, `query`, `path`
 * @throws Problem `invalid-request`, naming every place that is wrong and never what stood there
 */
export function validate<S extends z.ZodType>(schema: S, value: unknown, at: string): z.output<S> {
  const result = schema.safeParse(value, { error: plainReason });
  if (result.success) return result.data;
  const invalid = result.error.issues.slice(0, 20).map((issue) => invalidOf(schema, issue, at));
  const more = invalid.length > maxInDetail ? `; and ${invalid.length - maxInDetail} more` : "";
  const shown = invalid.slice(0, maxInDetail).map((one) => `${one.at || "the body"}: ${one.reason}`);
  throw new Problem("invalid-request", `${shown.join("; ")}${more}`, { invalid });
}

function invalidOf(schema: z.ZodType, issue: z.core.$ZodIssue, at: string): Invalid {
  const path = issue.path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  return { at: `${at}${path}`, reason: reasonOf(schema, issue) };
}

// Zod's own sentences quote no value, but they do quote keys, and what is where a key should may be a secret.
function reasonOf(schema: z.ZodType, issue: z.core.$ZodIssue): string {
  if (issue.code !== "unrecognized_keys") return issue.message;
  const known = fieldsAt(schema, issue.path);
  const slips = issue.keys.slice(0, maxCompared).flatMap((key) => {
    const meant = nearestName(key, known);
    return meant === undefined ? [] : [`"${key}"; did you mean "${meant}"?`];
  });
  return slips.length > 0 ? `unknown field ${slips.join(" ")}` : `unknown field; there are ${known.join(", ")}`;
}

/**
 * One of these names in a filter. A mistyped one would find nothing, which looks like an answer: it is refused, with the
 * nearest name. Names are grouped by what precedes their dot.
 */
export const KnownName = (names: readonly string[], told: { what: string; listedIn: string }) =>
  FilterText(64).superRefine((name, context) => {
    if (names.includes(name)) return;
    const [group = ""] = name.split(".");
    const nearest = nearestName(name, names);
    const ofGroup = names.filter((one) => one.startsWith(`${group}.`));
    const all = ofGroup.length === 0 ? told.listedIn : `those of ${group} are ${ofGroup.join(", ")}`;
    const hint = nearest === undefined ? all : `did you mean ${nearest}?`;
    context.addIssue({ code: "custom", message: `is no ${told.what}: ${hint}` });
  });

type JsonSchema = z.core.JSONSchema.JSONSchema;

/**
 * The names of the fields that an object at this place of a schema can have, for a message that helps anyone who
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

// A schema with an id of its own is under $defs, and here only its name.
function resolve(root: JsonSchema, schema: JsonSchema): JsonSchema {
  const definition = schema.$ref === undefined ? undefined : root.$defs?.[schema.$ref.replace("#/$defs/", "")];
  return definition ?? schema;
}

/**
 * What is wrong at one place of the input, in words for the one who wrote it; a schema's own message goes before it. What
 * stood there is never quoted: it may be a secret.
 * @returns `undefined` for what zod itself says well enough
 */
export function plainReason(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return issue.input === undefined
        ? `missing: it must be ${kindNamed(issue.expected)}`
        : `must be ${kindNamed(issue.expected)}${butWas(issue.input)}`;
    case "invalid_value":
      return issue.input === undefined ? `missing: ${oneOf(issue.values)}` : `must be ${oneOf(issue.values)}`;
    case "too_small":
      return `must ${boundOf(issue.origin)} at least ${quantity(issue.origin, issue.minimum)}`;
    case "too_big":
      return `must ${boundOf(issue.origin)} at most ${quantity(issue.origin, issue.maximum)}`;
    case "invalid_format":
      return formats[issue.format];
    default:
      return undefined;
  }
}

const kinds: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  null: "null",
};

const formats: Readonly<Record<string, string>> = {
  uuid: "must be a UUID",
  datetime: "must be a time such as 2030-01-31T12:00:00Z",
  url: "must be a URL",
};

const units: Readonly<Record<string, readonly [one: string, many: string]>> = {
  string: ["character", "characters"],
  array: ["entry", "entries"],
};

const kindNamed = (expected: string): string => kinds[expected] ?? `of the type ${expected}`;

function butWas(input: unknown): string {
  // What a query held that is not a number.
  if (Number.isNaN(input)) return "";
  if (input === null) return ", not null";
  if (Array.isArray(input)) return ", not a list";
  if (typeof input === "number" && !Number.isInteger(input)) return ", not a fraction";
  return `, not ${kindNamed(typeof input)}`;
}

function oneOf(values: readonly unknown[]): string {
  const named = values.map(String);
  return named.length === 1 ? `${named[0]}` : `one of ${named.join(", ")}`;
}

const boundOf = (origin: string): string => (units[origin] ? "have" : "be");

function quantity(origin: string, bound: number | bigint): string {
  const unit = units[origin];
  if (!unit) return String(bound);
  return `${bound} ${Number(bound) === 1 ? unit[0] : unit[1]}`;
}
