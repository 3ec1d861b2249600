import type { z } from "zod";

/**
 * What is wrong at one place of the input, in words for whoever wrote it; a schema's own message goes before it. What
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
  // What a query held that is no number.
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
