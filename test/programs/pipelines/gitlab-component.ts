import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";

const text = readFileSync(new URL("../../../templates/login.yml", import.meta.url), "utf8");

const Value = z.union([z.string(), z.boolean()]);

/** Source: GitLab documentation, "CI/CD YAML syntax reference", spec:inputs, and "CI/CD components". */
const Header = z.strictObject({
  spec: z.strictObject({
    inputs: z.record(
      z.string().regex(/^[\w-]+$/),
      z.strictObject({
        description: z.string(),
        type: z.enum(["string", "number", "boolean", "array"]).optional(),
        default: Value.optional(),
        options: z.array(z.string()).optional(),
        regex: z.string().optional(),
      }),
    ),
  }),
});

/** Of a job: what the component gives it. Source: the same, "Job keywords". */
const Job = z.strictObject({
  id_tokens: z.record(z.string(), z.strictObject({ aud: z.string() })),
  variables: z.record(z.string(), z.string()),
  before_script: z.array(z.string()),
  after_script: z.array(z.string()),
});
export type ComponentJob = z.output<typeof Job>;

const [head = "", body = ""] = text.split(/^---$/m);
export const { inputs: inputsOfComponent } = Header.parse(parse(head)).spec;

/**
 * The hidden job of `templates/login.yml`, as GitLab makes it: values are put into the text before it is read as YAML.
 * Source: gitlab-org/gitlab, lib/gitlab/ci/config/interpolation.
 * @throws Error for inputs that GitLab would not start a pipeline with
 */
export function componentJob(given: Record<string, string | boolean>, name = ".factory-secrets"): ComponentJob {
  const unknown = Object.keys(given).filter((input) => !Object.hasOwn(inputsOfComponent, input));
  if (unknown.length > 0) throw new Error(`unknown input ${unknown.join(", ")}`);
  const filled = body.replace(/\$\[\[ inputs\.([\w-]+) \]\]/g, (_, input: string) => filledIn(input, given[input]));
  if (filled.includes("$[[")) throw new Error("something was not interpolated");
  return z.strictObject({ [name]: Job }).parse(parse(filled))[name] ?? fail(name);
}

function filledIn(name: string, given: string | boolean | undefined): string {
  const spec = inputsOfComponent[name] ?? fail(name);
  const value = given ?? spec.default;
  if (value === undefined) throw new Error(`the input ${name} is required`);
  if (typeof value !== (spec.type ?? "string")) throw new Error(`the input ${name} is of another type`);
  if (spec.regex !== undefined && !new RegExp(spec.regex).test(String(value)))
    throw new Error(`the input ${name} does not match`);
  return String(value);
}

function fail(name: string): never {
  throw new Error(`there is no ${name}`);
}
