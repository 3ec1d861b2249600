import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { NewTrustRule } from "../../src/identity/oidc/contract.js";
import { lintRule } from "../../src/identity/oidc/lint-rule.js";

const folder = new URL("../../examples/", import.meta.url);
const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const names = readdirSync(folder);
const read = (name: string) => readFileSync(new URL(name, folder), "utf8");

test.each(names)("the README shows examples/%s as it is", (name) => {
  expect(readme).toContain(read(name).trimEnd());
});

test.each(names.filter((name) => name.endsWith("-rule.json")))("examples/%s is a trust rule", (name) => {
  expect(NewTrustRule.safeParse(JSON.parse(read(name))).error).toBeUndefined();
});

test.each(names.filter((name) => name.endsWith("-rule.json")))("examples/%s is one without a remark", (name) => {
  expect(lintRule(NewTrustRule.parse(JSON.parse(read(name))))).toEqual([]);
});
