import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { problemCodes } from "../../../src/core/problem.js";
import { openApiTexts, problemCodesOf } from "../../../src/http/openapi.js";
import { routes } from "../../../src/service/routes.js";

const Schema = z.object({
  required: z.array(z.string()).default([]),
  minProperties: z.number().default(0),
  properties: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
});
const Content = z.record(z.string(), z.object({ schema: z.record(z.string(), z.unknown()) }));
const Reference = z.object({ $ref: z.string() });
const Parameter = z.object({ in: z.string(), name: z.string(), description: z.string().optional() });
const Response = z.object({ description: z.string(), content: Content.optional() });
const Operation = z.object({
  operationId: z.string(),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  parameters: z.array(z.union([Reference, Parameter])).default([]),
  requestBody: z.object({ content: Content }).optional(),
  responses: z.record(z.string(), z.union([Reference, Response])),
});
const Document = z.object({
  openapi: z.string(),
  paths: z.record(z.string(), z.record(z.string(), Operation)),
  components: z.object({
    schemas: z.record(z.string(), z.record(z.string(), z.unknown())),
    parameters: z.record(z.string(), Parameter),
    responses: z.record(z.string(), Response),
  }),
});

const { yaml, json } = openApiTexts(routes);
const document = Document.parse(parse(yaml));
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    path,
    method,
    ...operation,
    parameters: operation.parameters.map((one) => named(document.components.parameters, one)),
    responses: Object.fromEntries(
      Object.entries(operation.responses).map(([status, one]) => [status, named(document.components.responses, one)]),
    ),
  })),
);

/** What stands there, or the component that it refers to. */
function named<T extends object>(components: Record<string, T>, one: T | { $ref: string }): T {
  if (!("$ref" in one) || typeof one.$ref !== "string") return z.custom<T>().parse(one);
  const component = components[one.$ref.split("/").at(-1) ?? ""];
  if (component === undefined) throw new Error(`${one.$ref} does not exist`);
  return component;
}

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

  test("has no schema whose members differ only in case, which are one member in Go and Java", () => {
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      const members = Object.keys(Schema.parse(schema).properties).map((member) => member.toLowerCase());
      expect(new Set(members).size, name).toBe(members.length);
    }
  });

  test("has no schema named like the constructor of another one, and none that differ only in case", () => {
    const names = Object.keys(document.components.schemas);
    expect(names.filter((name) => names.includes(`New${name}`))).toEqual([]);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
  });

  test("gives every number a format: without one, generators of Go take float32", () => {
    for (const { at, object } of objectsIn(document)) {
      if (object.type === "integer") expect(object.format, at).toBe("int64");
      if (object.type === "number") expect(object.format, at).toBe("double");
    }
  });

  test("has no enum of one value, and each of several under a name of its own", () => {
    for (const { at, object } of objectsIn(document)) {
      if (!Array.isArray(object.enum)) continue;
      expect(object.enum.length, at).toBeGreaterThan(1);
      expect(at).toMatch(/^\/components\/schemas\/\w+$/);
    }
  });

  test.each(operations)("$operationId has one kind of success", ({ responses }) => {
    const kinds = Object.entries(responses)
      .filter(([status]) => status.startsWith("2"))
      .flatMap(([, { content = {} }]) => Object.entries(content).map((kind) => JSON.stringify(kind)));
    expect(new Set(kinds).size).toBeLessThanOrEqual(1);
  });

  test("says once what several operations share", () => {
    const { paths } = z.object({ paths: z.record(z.string(), z.unknown()) }).parse(JSON.parse(json));
    const parts = objectsIn(paths).filter(
      ({ object }) => "in" in object || ("description" in object && JSON.stringify(object.content)?.includes("$ref")),
    );
    const texts = parts.map(
      ({ at, object }) => `${at.split("/").at(-1)?.replace(/^\d$/, "")} ${JSON.stringify(object)}`,
    );
    expect(texts.filter((text, index) => texts.indexOf(text) !== index)).toEqual([]);
    for (const { at, object } of objectsIn(JSON.parse(json)).filter(
      ({ object }) => "in" in object && "schema" in object,
    ))
      expect(z.object({ description: z.string().optional() }).parse(object.schema).description, at).toBe(undefined);
  });

  test("has one scheme that sends a bearer", () => {
    const { components } = z
      .object({ components: z.object({ securitySchemes: z.record(z.string(), z.object({ type: z.string() })) }) })
      .parse(parse(yaml));
    const schemes = Object.entries(components.securitySchemes).map(([name, { type }]) => `${name}: ${type}`);
    expect(schemes).toEqual(["bearer: http", "osfToken: apiKey", "awsSignature: apiKey"]);
  });

  test("reads the same under YAML 1.1, which makes dates of unquoted dates and false of the key n", () => {
    expect(parse(yaml, { version: "1.1" })).toEqual(parse(yaml));
  });

  test("has no example that is over: a time in one lies ahead", () => {
    const times = [...yaml.matchAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g)].map(([time]) => Date.parse(time));
    expect(times.length).toBeGreaterThan(0);
    expect(times.filter((time) => time < Date.now())).toEqual([]);
  });

  test.each(routes.filter(({ body }) => body?.kind === "json"))(
    "$id refuses {} in the schema where it does",
    (route) => {
      const operation = operations.find(({ operationId }) => operationId === route.id);
      const [content] = Object.values(operation?.requestBody?.content ?? {});
      const name = z.object({ $ref: z.string() }).parse(content?.schema).$ref.split("/").at(-1) ?? "";
      const { required, minProperties, properties } = Schema.parse(document.components.schemas[name]);
      const takesNothing = route.body?.kind === "json" && route.body.schema.safeParse({}).success;
      expect(required.length > 0 || minProperties > 0).toBe(!takesNothing);
      expect(required.filter((member) => "default" in (properties[member] ?? {}))).toEqual([]);
    },
  );

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
    const { default: ofEveryRoute, ...own } = operation?.responses ?? {};
    const isDeclared = (status: number) =>
      String(status) in own || new RegExp(`\\b${status} \``).test(ofEveryRoute?.description ?? "");
    expect(statuses.filter((status) => !isDeclared(Number(status)))).toEqual([]);
    expect(Object.keys(own).filter((status) => !statuses.map(String).includes(status))).toEqual([]);
    for (const [status, reply] of Object.entries(operation?.responses ?? {})) {
      if (Number(status) < 400 || status in route.replies) continue;
      expect(Object.keys(reply.content ?? {})).toEqual(["application/problem+json"]);
    }
  });

  test("asks for a credential everywhere but at the routes for anyone", () => {
    const open = operations.filter(({ security }) => security?.length === 0).map(({ operationId }) => operationId);
    expect(open.sort()).toEqual([
      "fioctlCredentialsPage",
      "getAuthorizationServer",
      "getCommandLine",
      "getCommandLineFacts",
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
      "getRoot",
      "listAuditCheckpointKeys",
      "requestToken",
    ]);
  });
});
