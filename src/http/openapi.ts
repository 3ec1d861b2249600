import { isPair, visit, Document as YamlDocument } from "yaml";
import { z } from "zod";
import { globalRegistry, safeParse } from "zod/v4/core";
import {
  type CreateDocumentOptions,
  createDocument,
  type ZodOpenApiObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from "zod-openapi";
import { type ProblemCode, problemCodes } from "../core/problem.js";
import { ProblemDocument } from "./contract.js";
import { mediaTypeOf } from "./read-body.js";
import type { ReplySpec, Route } from "./route.js";
import { shareComponents } from "./share-components.js";

export type OpenApiTexts = { json: string; yaml: string };

type AnyRoute = Route<never>;

const Preconditions = z.object({
  "If-Match": z
    .string()
    .optional()
    .meta({
      description: "An `ETag`, with its quotes: refuse with 412 when it is no longer the present one.",
      param: { id: "IfMatchInHeader" },
    }),
  "If-None-Match": z
    .string()
    .optional()
    .meta({
      description: "Only `*`: refuse with 412 when there is one already.",
      param: { id: "IfNoneMatchInHeader" },
    }),
});

/** Makes the OpenAPI document of these routes, as JSON and as YAML. */
export function openApiTexts(routes: readonly AnyRoute[]): OpenApiTexts {
  const problems = sharedProblems(routes);
  const declared: ZodOpenApiObject = {
    openapi: "3.0.3",
    info: {
      title: "factory-secrets",
      version: "1",
      description: "Secrets and short-lived registry tokens for device factories.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    servers: [{ url: "/", description: "Where this document came from." }],
    // One scheme for everything that is sent as a bearer: of several, generated clients send whichever they set last.
    security: [{ bearer: [] }, { osfToken: [] }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    components: {
      responses: problems,
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description:
            "`Authorization: Bearer <token>`: an operator token, an API token, a job token, an access token of an OAuth client (`POST /oauth/token/`) or, where an operation says so, the ID token of a CI system. Base64 of the token is taken too. On the port for devices the certificate of the device takes its place.",
        },
        osfToken: {
          type: "apiKey",
          in: "header",
          name: "OSF-TOKEN",
          description: "fioctl's header. It decides when both are sent.",
        },
        awsSignature: {
          type: "apiKey",
          in: "header",
          name: "Authorization",
          description: "AWS Signature Version 4 with the AWS-shaped keys of a job.",
        },
      },
    },
    paths: pathsOf(routes, problems),
  };
  const document = createDocument(declared, { override: tidySchema });
  shareComponents(document);
  return { json: JSON.stringify(document), yaml: yamlOf(document) };
}

function yamlOf(document: object): string {
  // `compat`: YAML 1.1 takes unquoted dates for dates and the key `n` for false, and many readers still follow it.
  const yaml = new YamlDocument(document, { aliasDuplicateObjects: false, compat: "yaml-1.1" });
  // A reference on the line of its key: a third of all lines.
  visit(yaml, {
    Map: (_, map, path) => {
      if (map.items.length === 1 && map.has("$ref") && isPair(path.at(-1))) map.flow = true;
    },
  });
  return yaml.toString({ lineWidth: 0 });
}

function pathsOf(routes: readonly AnyRoute[], problems: Responses): ZodOpenApiPathsObject {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    const path = paths[route.path] ?? {};
    path[route.method] = operationOf(route, problems);
    paths[route.path] = path;
  }
  return paths;
}

function operationOf(route: AnyRoute, problems: Responses): ZodOpenApiOperationObject {
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, permissionSentence(route)].filter(Boolean).join("\n\n"),
    ...securityOf(route),
    requestParams: {
      ...(route.params instanceof z.ZodObject && { path: route.params }),
      ...(route.query instanceof z.ZodObject && { query: route.query }),
      ...(route.problems.includes("precondition-failed") && { header: Preconditions }),
    },
    ...(route.body && { requestBody: { required: true, content: bodyContent(route.body) } }),
    responses: { ...repliesOf(route), ...problemsOf(route, problems) },
  };
}

/** What differs from the credential of the document as a whole. */
function securityOf({ auth }: AnyRoute): { security?: Record<string, string[]>[] } {
  // OpenAPI 3.0 has no scheme for the certificate of a device.
  if (auth === "anyone" || auth === "device") return { security: [] };
  return auth === "signature" ? { security: [{ awsSignature: [] }] } : {};
}

function permissionSentence({ auth }: AnyRoute): string {
  if (auth === "anyone") return "Needs no credential.";
  if (auth === "device") return "Needs the certificate of a device.";
  if (auth === "signature") return "Needs a signature with a job's AWS-shaped keys.";
  if (auth === "any-caller") return "Needs any valid credential.";
  if (auth === "operator") return "Needs an operator token.";
  const needed = `Needs the permission \`${auth.permission}\`.`;
  return auth.permission === "registry-tokens:issue"
    ? `${needed} An OpenID Connect ID token that a trust rule of the factory accepts works as the bearer too.`
    : needed;
}

function bodyContent(body: NonNullable<AnyRoute["body"]>) {
  return { [mediaTypeOf(body)]: { schema: bodySchema(body) } };
}

function bodySchema(body: NonNullable<AnyRoute["body"]>): z.ZodType {
  if (body.kind === "document") return z.string();
  return body.kind === "bytes" ? body.documented : body.schema;
}

function repliesOf(route: AnyRoute) {
  return Object.fromEntries(Object.entries(route.replies).map(([status, spec]) => [status, replyOf(spec)]));
}

function replyOf(spec: ReplySpec) {
  const headers = Object.entries(spec.headers ?? {}).map(
    ([name, description]) => [name, { description, schema: { type: "string" as const } }] as const,
  );
  return {
    description: spec.description,
    ...(spec.content && {
      content: Object.fromEntries(Object.entries(spec.content).map(([mediaType, schema]) => [mediaType, { schema }])),
    }),
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
  };
}

/** What every route can answer, no matter who calls it. */
const codesOfEveryRoute: readonly ProblemCode[] = [
  "method-not-allowed",
  "header-too-large",
  "internal",
  "unavailable",
  "key-unavailable",
];

/** What the pipe in front of a route's handler answers, and the name of the response that says so. */
function pipeProblemsOf({ auth, body }: AnyRoute): { name: string; codes: ProblemCode[] } {
  const codes: ProblemCode[] = ["invalid-request", ...codesOfEveryRoute];
  let name = "Anyone";
  if (auth !== "anyone") {
    name = "Caller";
    codes.push("unauthenticated", "too-many-requests");
  }
  if (auth === "operator" || auth === "device") {
    name = "Holder";
    codes.push("forbidden");
  }
  if (typeof auth === "object") {
    name = "Member";
    codes.push("forbidden", "not-found");
  }
  if (body) codes.push("malformed-body", "body-too-large", "unsupported-media-type");
  return { name: `${name}${body ? "Body" : ""}Problem`, codes };
}

/** The codes that a route can answer: its own, and those of the pipe in front of it. */
export function problemCodesOf(route: AnyRoute): ProblemCode[] {
  const codes = new Set<ProblemCode>([...pipeProblemsOf(route).codes, ...route.problems]);
  if (route.auth === "signature") codes.add("signature-refused");
  return [...codes];
}

/** The statuses of a route's own problems, each with the codes that are answered with it. */
function problemStatusesOf(route: AnyRoute): [status: number, codes: ProblemCode[]][] {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of problemCodesOf(route)) {
    const { status } = problemCodes[code];
    if (!(status in route.replies)) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const ofPipe = pipeProblemsOf(route).codes;
  return [...byStatus]
    .filter(([, codes]) => codes.some((code) => route.problems.includes(code) || !ofPipe.includes(code)))
    .map(([status, codes]): [number, ProblemCode[]] => [status, codes.sort()])
    .sort(([a], [b]) => a - b);
}

type Responses = Record<string, ReturnType<typeof problemResponse>>;

/** The response `default` holds what the pipe answers, in place of eight responses at each operation. */
function problemsOf(route: AnyRoute, shared: Responses) {
  const own = problemStatusesOf(route).map(([status, codes]) => {
    const name = responseName(codes);
    return [String(status), name in shared ? responseReference(name) : problemResponse(codes)];
  });
  return { ...Object.fromEntries(own), default: responseReference(pipeProblemsOf(route).name) };
}

const responseReference = (name: string) => ({ $ref: `#/components/responses/${name}` as const });

/** Written out at each operation, the problems would be two thirds of the document. One that appears once stays there. */
function sharedProblems(routes: readonly AnyRoute[]): Responses {
  const all = routes.flatMap(problemStatusesOf).map(([, codes]) => [responseName(codes), codes] as const);
  const names = all.map(([name]) => name);
  const own = all
    .filter(([name]) => names.indexOf(name) !== names.lastIndexOf(name))
    .map(([name, codes]) => [name, problemResponse(codes)] as const);
  const defaults = routes
    .map(pipeProblemsOf)
    .map(({ name, codes }) => [name, problemResponse(codes, "status")] as const);
  return Object.fromEntries([...own, ...defaults].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function problemResponse(codes: readonly ProblemCode[], withStatus?: "status") {
  const byStatus = codes.toSorted((a, b) => problemCodes[a].status - problemCodes[b].status);
  const texts = byStatus.map((code) => (withStatus ? `${problemCodes[code].status} \`${code}\`` : `\`${code}\``));
  return {
    description: `The \`code\` is ${texts.join(" or ")}.`,
    content: { "application/problem+json": { schema: ProblemDocument } },
  };
}

/** `NotFoundProblem`, `ConflictOrSecretInUseProblem` */
function responseName(codes: readonly ProblemCode[]): string {
  const words = codes.map((code) => code.split("-").map(capitalised).join(""));
  return `${words.join("Or")}Problem`;
}

const capitalised = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

type Override = Exclude<CreateDocumentOptions["override"], undefined>;

/**
 * Says less where zod says more than a client generator can use: for `zod-openapi`'s `override`, called for each schema.
 */
export const tidySchema: Override = ({ jsonSchema, zodSchema, io }) => {
  // A `$ref` alone is what generators follow; OpenAPI 3.0 needs `allOf` only where something is beside it.
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

/** The chapters of the OpenAPI document, in its order. */
export const tags = {
  "Registry tokens": "Short-lived tokens for the registries of a factory: what a CI job comes for.",
  "AWS programs":
    "What the AWS CLI, the AWS SDKs and AWS IoT's clients already speak. Errors are told in AWS's shape, so that these print them.",
  Secrets: "Values that registry entries name. A value can be written, never read.",
  "Factory config": "The versioned `factory-config.yml`.",
  Registries: "The entries of `container_registries`, one at a time. All else in the document stays as it was.",
  Federation: "Entries without a secret: each factory is an OpenID issuer that its clouds trust.",
  Access: "Operator tokens and the API tokens of a factory.",
  OAuth: "Access tokens for `fioctl login`, programs and CI jobs with an ID token.",
  Jobs: "CI jobs, each with a token of its own.",
  Factories: "The tenants of this installation.",
  Keys: "The key-encryption keys of this installation, and the data keys of its factories.",
  Audit: "What was done and refused, by whom and when.",
  fioctl: "The wire protocol of `fioctl secrets`. Every path also answers with a slash at its end, as fioctl asks.",
  System: "Health, metrics and this document.",
} as const;

export type Tag = keyof typeof tags;
