// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of compose files

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findMentions } from "../../../../../src/cli/job/references/find-mentions.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "references-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function find(files: Record<string, string>, environment: Record<string, string> = {}) {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), text);
  }
  const variables = (name: string): string | undefined => environment[name];
  const tree = { directory, buildArgs: new Map<string, string>(), platforms: [], variables, profiles: undefined };
  const { mentions } = await findMentions(tree);
  return {
    images: mentions.flatMap((mention) => ("reference" in mention ? [mention.reference] : [])).toSorted(),
    unresolved: mentions.flatMap((mention) => ("unresolved" in mention ? [mention.unresolved] : [])),
    passedOver: mentions.flatMap((mention) => ("passedOver" in mention ? [mention.by] : [])),
  };
}

const listed = (...images: string[]) => ({ images, unresolved: [], passedOver: [] });
const inline = (image: string) => `build: { dockerfile_inline: "FROM ${image}" }`;

test("reads a dockerfile in lower case where there is none in the usual case", async () => {
  const compose = "services:\n  web: { build: web }\n";
  expect(await find({ "tool/dockerfile": "FROM a\n" })).toEqual(listed("a"));
  expect(await find({ "compose.yaml": compose, "web/dockerfile": "FROM b\n" })).toEqual(listed("b"));
  expect(await find({ "web/Dockerfile": "FROM c\n" })).toEqual(listed("c"));
});

test("lists no Dockerfile that is beside services whose builds were taken away, inline or somewhere else", async () => {
  const files = {
    "compose.yaml": "services:\n  web: { image: a, build: . }\n",
    "compose.override.yaml": "services:\n  web: { build: !reset null }\n",
    Dockerfile: "FROM unused\n",
  };
  expect(await find(files)).toEqual(listed("a"));
  expect(await find({ "compose.override.yaml": `services:\n  web: { ${inline("b")} }\n` })).toEqual(listed("b"));
});

test("finds the image of a build by the name that the project gives it", async () => {
  const services = `services:\n  web: { ${inline("a")} }\n  worker: { image: "\${SHOP-shop}-web:latest" }\n`;
  expect(await find({ "compose.yaml": `name: shop\n${services}` })).toEqual(listed("a"));
  expect(await find({ "compose.yaml": `name: "\${X:-shop}"\n${services}` })).toEqual(listed("a"));
  expect(await find({}, { COMPOSE_PROJECT_NAME: "other", SHOP: "other" })).toEqual(listed("a"));
  expect(await find({}, { COMPOSE_PROJECT_NAME: "other" })).toEqual(listed("a", "shop-web:latest"));
  rmSync(join(directory, "compose.yaml"));
  expect(await find({ "_My.Shop/compose.yaml": services }, { SHOP: "myshop" })).toEqual(listed("a"));
});

test("does not give the project the name of one that it includes", async () => {
  const files = {
    "compose.yaml": `name: outer\ninclude: [inner.yml]\nservices:\n  web: { ${inline("a")} }\n  job: { image: inner-web }\n`,
    "inner.yml": "name: inner\nservices:\n  log: { image: outer-web }\n",
  };
  expect(await find(files)).toEqual(listed("a", "inner-web"));
});

test.each([
  ["models", "models:\n  llm: { model: ai/m }\nservices:\n  web: { image: a, models: [llm] }\n"],
  ["provider", "services:\n  web: { image: a }\n  db: { provider: { type: cloud } }\n"],
  ["sbom", `services:\n  web: { build: { dockerfile_inline: "FROM a", sbom: "generator=scanner:1" } }\n`],
])("says that it passes over %s", async (by, compose) => {
  expect(await find({ "compose.yaml": compose })).toEqual({ ...listed("a"), passedOver: [by] });
});

test("takes the environment's word for which .env files there are", async () => {
  const compose = 'services:\n  web: { image: "a:${T:-none}-$S" }\n';
  const files = { "compose.yaml": compose, ".env": "T=1\nS=s\n", "one.env": "T=2\nS=${T}\n", "two.env": "T=3\n" };
  expect(await find(files)).toEqual(listed("a:1-s"));
  expect(await find(files, { COMPOSE_ENV_FILES: "one.env, two.env" })).toEqual(listed("a:3-2"));
  expect(await find(files, { COMPOSE_DISABLE_ENV_FILE: "true" })).toEqual(listed("a:none-"));
});
