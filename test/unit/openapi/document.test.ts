import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { problemCodes } from "../../../src/core/problem.js";
import { openApiTexts, problemCodesOf } from "../../../src/http/openapi.js";
import { routes } from "../../../src/service/routes.js";

const Content = z.record(z.string(), z.object({ schema: z.record(z.string(), z.unknown()) }));
const Operation = z.object({
  operationId: z.string(),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  parameters: z.array(z.object({ in: z.string(), name: z.string(), description: z.string().optional() })).default([]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.object({ description: z.string(), content: Content.optional() })),
});
const Document = z.object({
  openapi: z.string(),
  paths: z.record(z.string(), z.record(z.string(), Operation)),
  components: z.object({ schemas: z.record(z.string(), z.record(z.string(), z.unknown())) }),
});

const { yaml, json } = openApiTexts(routes);
const document = Document.parse(parse(yaml));
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
);

/** Every object inside of a value, with the path to it. */
function objectsIn(value: unknown, at = ""): { at: string; object: Record<string, unknown> }[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => objectsIn(item, `${at}/${index}`));
  const result = z.record(z.string(), z.unknown()).safeParse(value);
  if (!result.success) return [];
  const inside = Object.entries(result.data).flatMap(([key, item]) => objectsIn(item, `${at}/${key}`));
  return [{ at, object: result.data }, ...inside];
}

describe("the OpenAPI document", () => {
  test("is committed as the routes say", async () => {
    expect(await readFile(new URL("../../../openapi.yaml", import.meta.url), "utf8")).toBe(yaml);
  });

  test("is 3.0.3, the same as JSON and as YAML", () => {
    expect(document.openapi).toBe("3.0.3");
    expect(JSON.parse(json)).toEqual(parse(yaml));
  });

  test("has one operation for each route, each with an id of its own", () => {
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(routes.map(({ id }) => id).sort());
  });

  test("gives every JSON body and reply a named schema", () => {
    for (const { operationId, requestBody, responses } of operations) {
      const bodies = [requestBody, ...Object.values(responses)].map((body) => body?.content ?? {});
      const schemas = bodies.flatMap((content) => Object.entries(content));
      for (const [mediaType, { schema }] of schemas.filter(([type]) => type.endsWith("json"))) {
        expect(Object.keys(schema), `${operationId} ${mediaType}`).toEqual(["$ref"]);
      }
    }
  });

  test("nests no object and no choice without a name, which generators would call Inline1", () => {
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      for (const { at, object } of objectsIn(schema).slice(1)) {
        const isChoice = Array.isArray(object.enum) && object.enum.length > 1;
        expect("properties" in object && object.type === "object", `${name}${at}`).toBe(false);
        expect(isChoice, `${name}${at}`).toBe(false);
      }
    }
  });

  test("has no oneOf, anyOf or allOf, and no second shape of one name", () => {
    for (const { at, object } of objectsIn(document.components.schemas)) {
      for (const key of ["oneOf", "anyOf", "allOf", "not"]) expect(object, at).not.toHaveProperty(key);
    }
    expect(Object.keys(document.components.schemas).filter((name) => name.endsWith("Output"))).toEqual([]);
  });

  test("uses null in one place only, where fioctl deletes with it", () => {
    const nullable = objectsIn(document.components.schemas).filter(({ object }) => object.nullable === true);
    expect(nullable.map(({ at }) => at)).toEqual(["/TriggerSecret/properties/value"]);
  });

  test("names no schema that nothing uses", () => {
    const unused = Object.keys(document.components.schemas).filter(
      (name) => !yaml.includes(`"#/components/schemas/${name}"`),
    );
    expect(unused).toEqual([]);
  });

  test.each(operations)("$operationId declares and describes what its path and query take", (operation) => {
    const inPath = operation.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
    const braces = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(inPath.sort()).toEqual(braces.sort());
    for (const parameter of operation.parameters) expect(parameter.description, parameter.name).toMatch(/\w/);
  });

  test.each(routes)("$id declares every status that it can answer", (route) => {
    const operation = operations.find(({ operationId }) => operationId === route.id);
    const statuses = [...Object.keys(route.replies), ...problemCodesOf(route).map((code) => problemCodes[code].status)];
    expect(Object.keys(operation?.responses ?? {}).sort()).toEqual([...new Set(statuses.map(String))].sort());
    for (const [status, reply] of Object.entries(operation?.responses ?? {})) {
      if (Number(status) < 400 || status in route.replies) continue;
      expect(Object.keys(reply.content ?? {})).toEqual(["application/problem+json"]);
    }
  });

  test("asks for a credential everywhere but at the routes for anyone", () => {
    const open = operations.filter(({ security }) => security.length === 0).map(({ operationId }) => operationId);
    expect(open.sort()).toEqual([
      "fioctlCredentialsPage",
      "getAuthorizationServer",
      "getCommandLine",
      "getCommandLineFile",
      "getFederationKeySet",
      "getFederationMetadata",
      "getHealth",
      "getKeySet",
      "getMetrics",
      "getOpenApiJson",
      "getOpenApiYaml",
      "getReadiness",
      // Of a certificate OpenAPI 3.0 knows nothing.
      "getRoleAliasCredentials",
      "listAuditCheckpointKeys",
      "requestToken",
    ]);
  });
});
