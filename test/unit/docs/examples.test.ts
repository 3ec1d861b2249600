import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { TrustRuleRequest } from "../../../src/identity/trust-rules/contract.js";
import { lintRule } from "../../../src/identity/trust-rules/lint-rule.js";

const folder = new URL("../../../examples/", import.meta.url);
const guides = ["ci.md", "devices.md"].map((name) =>
  readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8"),
);
const names = readdirSync(folder).filter((name) => name.includes("."));
const ofClusters = readdirSync(new URL("kubernetes/", folder));
const clusters = readFileSync(new URL("../../../docs/clusters.md", import.meta.url), "utf8");
const read = (name: string) => readFileSync(new URL(name, folder), "utf8");

test.each(names)("a guide shows examples/%s as it is", (name) => {
  expect(guides.join("\n")).toContain(read(name).trimEnd());
});

test.each(ofClusters)("docs/clusters.md shows examples/kubernetes/%s, or leads to it", (name) => {
  const shown = [read(`kubernetes/${name}`).trimEnd(), `](../examples/kubernetes/${name})`];
  expect(shown.filter((text) => clusters.includes(text))).not.toEqual([]);
});

test.each(names.filter((name) => name.endsWith("-rule.json")))("examples/%s is a trust rule", (name) => {
  expect(TrustRuleRequest.safeParse(JSON.parse(read(name))).error).toBeUndefined();
});

test.each(names.filter((name) => name.endsWith("-rule.json")))("examples/%s is one without a remark", (name) => {
  expect(lintRule(TrustRuleRequest.parse(JSON.parse(read(name))))).toEqual([]);
});
