import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { tailRow } from "../../../../src/cli/operator/audit-tail.js";
import { nameOf, operandsOf, type Row } from "../../../../src/cli/operator/command.js";
import { commandTree } from "../../../../src/cli/operator/completion.js";
import type { OperationId } from "../../../../src/cli/operator/generated/operations.js";
import { operationIds, operationOf, requestOf, typeOfValue } from "../../../../src/cli/operator/operation.js";
import { operatorCommands, operatorRows } from "../../../../src/cli/operator/operator-commands.js";
import { routes } from "../../../../src/service/routes.js";

type Schema = { $ref?: string; properties?: Record<string, Schema>; items?: Schema } & {
  [form in "anyOf" | "oneOf" | "allOf"]?: Schema[];
};

const document = parse(readFileSync(new URL("../../../../openapi.yaml", import.meta.url), "utf8"));

function resolved(schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  return resolved(document.components.schemas[schema.$ref.split("/").at(-1) ?? ""]);
}

/** The members of an object that may have one of several forms. */
function membersOf(schema: Schema): Record<string, Schema> {
  const { properties, anyOf = [], oneOf = [], allOf = [] } = resolved(schema);
  return Object.assign({}, ...[...anyOf, ...oneOf, ...allOf].map(membersOf), properties);
}

/** The members of the reply to an operation. */
function replyOf(id: OperationId): Record<string, Schema> {
  const { method, path } = operationOf(id);
  const { responses } = document.paths[path][method.toLowerCase()];
  const [, success] = Object.entries<{ $ref?: string; content?: Record<string, { schema: Schema }> }>(responses).find(
    ([status]) => status.startsWith("2"),
  ) ?? ["", {}];
  const schema = success.content?.["application/json"]?.schema;
  return schema === undefined ? {} : membersOf(schema);
}

const rows: readonly Row[] = [...operatorRows, tailRow];
const calling = rows.flatMap((row) => {
  const { calls, showsWith, instead } = row;
  const others =
    instead === undefined ? [] : [{ row: { words: row.words, about: "", example: "", ...instead }, id: instead.calls }];
  return [calls, showsWith]
    .flatMap((id): { row: Row; id: OperationId }[] => (id === undefined ? [] : [{ row, id }]))
    .concat(others)
    .map((one) => ({ ...one, words: row.words }));
});

describe("each command of the table", () => {
  test.each(calling)("$words gives every argument to $id by a name that it has", ({ row, id }) => {
    if (id === row.showsWith) return;
    const names = [...operandsOf(row), ...(row.options ?? [])].map(([form, , use]) => use?.to ?? nameOf(form));
    const isSecret = (name: string): boolean =>
      (row.value !== undefined && name === "value") || name === row.instead?.flag;
    expect(names.filter((name) => !isSecret(name) && typeOfValue(operationOf(id), name) === undefined)).toEqual([]);
    if (row.value !== undefined) expect(typeOfValue(operationOf(id), "valueBase64")).toBe("text");
    const inPath = [...operationOf(id).path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(inPath.filter((name) => name !== "factory" && !names.includes(name ?? ""))).toEqual([]);
  });

  test.each(calling)("$words shows columns and members that the reply of $id has", ({ row, id }) => {
    const reply = replyOf(id);
    if (row.columns !== undefined) {
      const list = reply[row.list ?? "items"];
      const item = membersOf(resolved(list ?? {}).items ?? {});
      const columns = row.columns.split(" ").map((column) => column.split("=").at(-1) ?? "");
      expect(columns.filter((column) => !Object.hasOwn(item, column))).toEqual([]);
    }
    if (row.shownOnce !== undefined) expect(reply).toHaveProperty(row.shownOnce);
    const names = [...operandsOf(row), ...(row.options ?? [])].flatMap(([form, , use]) => [nameOf(form), use?.to]);
    for (const sentence of [row.prints, row.says, row.confirm])
      for (const [, name = ""] of typeof sentence === "string" ? sentence.matchAll(/\{(\w+)\}/g) : [])
        expect([...names, ...(sentence === row.confirm ? [] : Object.keys(reply))]).toContain(name);
  });

  test("has an operand for each name in its words, and describes it", () => {
    for (const row of rows) {
      expect(
        operandsOf(row).filter(([, about]) => about === ""),
        row.words,
      ).toEqual([]);
      expect(
        (row.operands ?? []).filter(([form]) => !row.words.includes(form)),
        row.words,
      ).toEqual([]);
    }
  });

  test("does one thing", () => {
    const works = rows.map((row) => [row.calls, row.run, row.runLocally].filter((one) => one !== undefined).length);
    expect(works.every((count) => count === 1)).toBe(true);
    expect(new Set(rows.map(({ words }) => words)).size).toBe(rows.length);
  });

  test("has --output, --json and --query", () => {
    const unused = () => {
      throw new Error("only looked at");
    };
    for (const command of operatorCommands({ open: unused, finish: unused }))
      for (const { path, subcommands, options } of commandTree(command)) {
        const names = options.flatMap((option) => option.names);
        if (subcommands.length === 0)
          expect(names, path).toEqual(expect.arrayContaining(["--output", "--json", "--query"]));
      }
  });
});

describe("the operations that the build takes from openapi.yaml", () => {
  const ids = routes.map(({ id }) => id);

  test("are the routes of the service", () => {
    expect([...operationIds].sort()).toEqual([...ids].sort());
  });

  test.each(operationIds)("%s has no parameter and member of one name", (id) => {
    const { parameters, body } = operationOf(id);
    expect(Object.keys(body?.members ?? {}).filter((name) => Object.hasOwn(parameters, name))).toEqual([]);
  });

  test.each(operationIds)("%s is sent with each value in its place", (id) => {
    const { path, method, parameters, body } = operationOf(id);
    const names = [...Object.keys(parameters), ...Object.keys(body?.members ?? {})];
    const sent = requestOf(id, Object.fromEntries(names.map((name) => [name, `a/${name}`])));
    const url = new URL(sent.path, "http://localhost");
    expect(sent.method).toBe(method);
    expect(url.pathname).toBe(path.replace(/\{(\w+)\}/g, (_, name) => `a%2F${name}`));
    for (const [name, { in: place }] of Object.entries(parameters)) {
      if (place === "query") expect(url.searchParams.get(name)).toBe(`a/${name}`);
      if (place === "header") expect(sent.headers[name.toLowerCase()]).toBe(`a/${name}`);
    }
    if (body?.mediaType.includes("json"))
      expect(Object.keys(JSON.parse(String(sent.body)))).toEqual(Object.keys(body.members));
  });

  test("a value that an operation has no place for is not left out without a word", () => {
    expect(() => requestOf("getSecret", { factory: "acme", name: "x", stage: true })).toThrow("getSecret has no stage");
  });
});
