import { stringify } from "yaml";
import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from "zod-openapi";
import { permissions } from "../core/permissions.js";
import { type ProblemCode, problemCodes } from "../core/problem.js";
import { ProblemDocument } from "./contract.js";
import { mediaTypeOf } from "./read-body.js";
import type { ReplySpec, Route } from "./route.js";
import { tidySchema } from "./schema-tidying.js";
import { tags } from "./tags.js";

export type OpenApiTexts = { json: string; yaml: string };

type AnyRoute = Route<never>;

const Preconditions = z.object({
  "If-Match": z
    .string()
    .optional()
    .meta({ description: "An `ETag`, with its quotes: refuse with 412 when it is no longer the present one." }),
  "If-None-Match": z.string().optional().meta({ description: "Only `*`: refuse with 412 when there is one already." }),
});

/** Makes the OpenAPI document of these routes, as JSON and as YAML. */
export function openApiTexts(routes: readonly AnyRoute[]): OpenApiTexts {
  const declared: ZodOpenApiObject = {
    openapi: "3.0.3",
    info: {
      title: "factory-secrets",
      version: "1",
      description: "Secrets and short-lived registry tokens for device factories.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    servers: [{ url: "/", description: "Where this document came from." }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    components: {
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "`Authorization: Bearer <token>`; base64 of the token is taken too.",
        },
        osfToken: {
          type: "apiKey",
          in: "header",
          name: "OSF-TOKEN",
          description: "fioctl's header. It decides when both are sent.",
        },
        oauth: {
          type: "oauth2",
          description: "An OAuth client of the factory. Its access tokens are sent as `bearer`.",
          flows: {
            clientCredentials: {
              tokenUrl: "/oauth/token/",
              refreshUrl: "/oauth/token/",
              scopes: Object.fromEntries(permissions.map((name) => [name, `The permission \`${name}\`.`])),
            },
          },
        },
        awsSignature: {
          type: "apiKey",
          in: "header",
          name: "Authorization",
          description: "AWS Signature Version 4 with the AWS-shaped keys of a job.",
        },
        idToken: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description:
            "An OpenID Connect ID token of a CI system or cluster that a trust rule of the factory lets in. A device presents its certificate over mutual TLS instead, which OpenAPI 3.0 has no scheme for.",
        },
      },
    },
    paths: pathsOf(routes),
  };
  const document = createDocument(declared, { override: tidySchema });
  return { json: JSON.stringify(document), yaml: stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }) };
}

function pathsOf(routes: readonly AnyRoute[]): ZodOpenApiPathsObject {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    const path = paths[route.path] ?? {};
    path[route.method] = operationOf(route);
    paths[route.path] = path;
  }
  return paths;
}

function operationOf(route: AnyRoute): ZodOpenApiOperationObject {
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, permissionSentence(route)].filter(Boolean).join("\n\n"),
    security: securityOf(route),
    requestParams: {
      ...(route.params instanceof z.ZodObject && { path: route.params }),
      ...(route.query instanceof z.ZodObject && { query: route.query }),
      ...(route.problems.includes("precondition-failed") && { header: Preconditions }),
    },
    ...(route.body && { requestBody: { required: true, content: bodyContent(route.body) } }),
    responses: { ...repliesOf(route), ...problemsOf(route) },
  };
}

function securityOf({ auth }: AnyRoute): Record<string, string[]>[] {
  const tokens = [{ bearer: [] }, { osfToken: [] }];
  // Of a device's certificate OpenAPI 3.0 knows nothing.
  if (auth === "anyone" || auth === "device") return [];
  if (auth === "signature") return [{ awsSignature: [] }];
  if (auth === "any-caller") return [...tokens, { oauth: [] }];
  if (auth === "operator") return tokens;
  const oauth = { oauth: [auth.permission] };
  return auth.permission === "registry-tokens:issue" ? [...tokens, oauth, { idToken: [] }] : [...tokens, oauth];
}

function permissionSentence({ auth }: AnyRoute): string {
  if (auth === "anyone") return "Needs no credential.";
  if (auth === "device") return "Needs the certificate of a device.";
  if (auth === "signature") return "Needs a signature with a job's AWS-shaped keys.";
  if (auth === "any-caller") return "Needs any valid credential.";
  if (auth === "operator") return "Needs an operator token.";
  return `Needs the permission \`${auth.permission}\`.`;
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

/** The codes that a route can answer: its own, and those of the pipe in front of it. */
export function problemCodesOf(route: AnyRoute): ProblemCode[] {
  const codes = new Set<ProblemCode>([
    "invalid-request",
    "method-not-allowed",
    "header-too-large",
    "internal",
    "unavailable",
    "key-unavailable",
    ...route.problems,
  ]);
  if (route.auth !== "anyone") codes.add("unauthenticated").add("too-many-requests");
  if (route.auth === "operator" || route.auth === "device") codes.add("forbidden");
  if (route.auth === "signature") codes.add("signature-refused");
  if (typeof route.auth === "object") codes.add("forbidden").add("not-found");
  if (route.body) codes.add("malformed-body").add("body-too-large").add("unsupported-media-type");
  return [...codes];
}

function problemsOf(route: AnyRoute) {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of problemCodesOf(route)) {
    const { status } = problemCodes[code];
    if (!(status in route.replies)) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const sorted = [...byStatus].sort(([a], [b]) => a - b);
  return Object.fromEntries(
    sorted.map(([status, codes]) => [
      String(status),
      {
        description: codes.map((code) => `\`${code}\`: ${problemCodes[code].title}.`).join(" "),
        content: { "application/problem+json": { schema: ProblemDocument } },
      },
    ]),
  );
}
