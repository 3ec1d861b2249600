// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles and compose files

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findMentions } from "../../../../../src/cli/ci/references/find-mentions.js";
import { interpolate } from "../../../../../src/cli/ci/references/interpolate.js";
import type { Mention } from "../../../../../src/cli/ci/references/mention.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "references-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function put(file: string, ...lines: string[]): void {
  mkdirSync(dirname(join(directory, file)), { recursive: true });
  writeFileSync(join(directory, file), `${lines.join("\n")}\n`);
}

type Options = {
  buildArgs?: [string, string][];
  platforms?: string[];
  environment?: Record<string, string>;
  profiles?: string[];
};

async function find({ buildArgs = [], platforms = [], environment = {}, profiles }: Options = {}): Promise<string[]> {
  const variables = (name: string): string | undefined => environment[name];
  const tree = { directory, buildArgs: new Map(buildArgs), platforms, variables, profiles };
  return (await findMentions(tree)).map(line);
}

const line = (mention: Mention): string =>
  `${mention.file}:${mention.line} ${mention.by} ${"reference" in mention ? mention.reference : `? ${mention.unresolved}`}`;

describe("a Dockerfile", () => {
  test("names what it is built from, in every place where it can, and none of its own stages", async () => {
    put(
      "app/Dockerfile",
      "# syntax=docker/dockerfile:1.7",
      "# a comment: FROM nothing",
      "ARG TAG=3",
      'ARG BASE="ghcr.io/acme/base:${TAG}"',
      "FROM --platform=$BUILDPLATFORM ${BASE} AS Build",
      "RUN --mount=type=bind,from=ghcr.io/acme/tools:1,target=/t <<END",
      "FROM not-an-image",
      "END",
      "RUN --mount=type=cache,target=/c true",
      "COPY --from=build /a /b",
      "COPY --from=0 /a /c",
      "COPY --from=ghcr.io/acme/files:2 /a /d",
      "FROM build",
      "FROM \\",
      "  scratch",
      "from alpine",
    );
    expect(await find({ buildArgs: [["TAG", "4"]] })).toEqual([
      "app/Dockerfile:1 syntax docker/dockerfile:1.7",
      "app/Dockerfile:5 FROM ghcr.io/acme/base:4",
      "app/Dockerfile:6 RUN --mount ghcr.io/acme/tools:1",
      "app/Dockerfile:12 COPY --from ghcr.io/acme/files:2",
      "app/Dockerfile:16 FROM alpine",
    ]);
  });

  test("says which argument has no value, and takes those beside it as ci-scripts does", async () => {
    put("Dockerfile", "ARG NAME", "FROM ghcr.io/acme/$NAME");
    expect(await find()).toEqual([
      "Dockerfile:2 FROM ? The variable NAME has no value here. Give it with --build-arg.",
    ]);
    put(".docker_build_args", "# ours", "NAME=base");
    expect(await find()).toEqual(["Dockerfile:2 FROM ghcr.io/acme/base"]);
    expect(await find({ buildArgs: [["NAME", "given"]] })).toEqual(["Dockerfile:2 FROM ghcr.io/acme/given"]);
  });

  test("that names its base by the platform has one for each that is asked for", async () => {
    put("Dockerfile", "FROM ghcr.io/acme/base-$TARGETARCH:1");
    expect(await find()).toEqual([
      "Dockerfile:1 FROM ? The variable TARGETARCH has no value here. Say for which platforms with --platform.",
    ]);
    expect(await find({ platforms: ["linux/amd64", "linux/arm64"] })).toEqual([
      "Dockerfile:1 FROM ghcr.io/acme/base-amd64:1",
      "Dockerfile:1 FROM ghcr.io/acme/base-arm64:1",
    ]);
  });

  test("is found by its names, not in folders of others", async () => {
    for (const file of ["Dockerfile.arm", "x.Dockerfile", "a/Containerfile"]) put(file, "FROM a");
    for (const file of [".git/Dockerfile", "node_modules/x/Dockerfile", "Dockerfile.dockerignore", "Dockerfiles"])
      put(file, "FROM b");
    expect(await find()).toEqual(["Dockerfile.arm:1 FROM a", "a/Containerfile:1 FROM a", "x.Dockerfile:1 FROM a"]);
  });
});

describe("a compose file", () => {
  test("names the images of services that are not built here, with variables in place", async () => {
    put("app/.env", "TAG=7", "HOST=ghcr.io # ours");
    put(
      "app/docker-compose.yml",
      "x-base: &base",
      '  image: "${HOST}/acme/base:${TAG:-1}"',
      "services:",
      "  one:",
      "    image: ${HOST}/acme/app:${TAG}",
      "  two:",
      "    <<: *base",
      "  three:",
      "    image: hub.example.com/three:$$literal",
      "  four:",
      "    build: .",
      "    image: ours:latest",
      "  five:",
      "    image: ${UNSET:?say which}",
    );
    put("app/Dockerfile", "FROM alpine");
    expect(await find({ environment: { TAG: "8" } })).toEqual([
      "app/Dockerfile:1 FROM alpine",
      "app/docker-compose.yml:5 image ghcr.io/acme/app:8",
      "app/docker-compose.yml:6 image ghcr.io/acme/base:8",
      "app/docker-compose.yml:9 image hub.example.com/three:$literal",
      "app/docker-compose.yml:14 image ? The variable UNSET has no value here. Set it in the environment or in the .env beside the file.",
    ]);
  });

  test("brings in what it includes and extends, each once, however they refer to each other", async () => {
    put(
      "compose.yaml",
      "include: [more.yml, {path: [sub/compose.yml]}, 'https://example.com/x.git']",
      "services:",
      "  a:",
      "    extends: {file: common.yml, service: base}",
      "  b:",
      "    extends: a",
    );
    put("common.yml", "services:", "  base:", "    image: ghcr.io/acme/common:1");
    put("more.yml", "include: [compose.yaml]", "services:", "  c: {image: 'ghcr.io/acme/more:1'}");
    put("sub/compose.yml", "services: {d: {image: 'ghcr.io/acme/sub:1'}}");
    expect(await find()).toEqual([
      "compose.yaml:1 include ? It includes what is not in this folder, which is not looked at.",
      "compose.yaml:3 image ghcr.io/acme/common:1",
      "compose.yaml:5 image ghcr.io/acme/common:1",
      "more.yml:3 image ghcr.io/acme/more:1",
      "sub/compose.yml:1 image ghcr.io/acme/sub:1",
    ]);
  });

  test("gives its builds their arguments, wherever the Dockerfile is", async () => {
    put(
      "compose.yml",
      "services:",
      "  a:",
      "    build:",
      "      context: src",
      "      dockerfile: build.txt",
      "      args: [BASE=ghcr.io/acme/base:1]",
      "      additional_contexts:",
      "        tools: docker-image://ghcr.io/acme/tools:1",
    );
    put("src/build.txt", "ARG BASE=none", "FROM $BASE");
    expect(await find()).toEqual([
      "compose.yml:3 build context tools ghcr.io/acme/tools:1",
      "src/build.txt:2 FROM ghcr.io/acme/base:1",
    ]);
  });

  test("leaves out services of other profiles when profiles are named", async () => {
    put(
      "compose.yml",
      "services:",
      "  a: {image: a}",
      "  b: {image: b, profiles: [debug]}",
      "  c: {image: c, profiles: [test]}",
    );
    expect(await find({ profiles: ["test"] })).toEqual(["compose.yml:2 image a", "compose.yml:4 image c"]);
    expect(await find()).toHaveLength(3);
  });

  test("that is no YAML, or is a bomb of aliases, is told of and spoils nothing else", async () => {
    put("compose.yml", "services: [");
    const lots = Array.from({ length: 9 }, (_, n) => `x${n + 1}: &x${n + 1} [${`*x${n},`.repeat(9)}]`);
    put("b/compose.yml", "x0: &x0 [a]", ...lots, "services: *x9");
    put("c/compose.yml", "services: {a: {image: alpine}}");
    expect(await find()).toEqual([
      "b/compose.yml:1 compose ? It is no valid YAML.",
      "c/compose.yml:1 image alpine",
      expect.stringMatching(/^compose.yml:\d compose \? It is no valid YAML\.$/),
    ]);
  });
});

describe("a variable", () => {
  const values: Record<string, string> = { A: "1", EMPTY: "" };
  test.each([
    ["$A-${A}", "1-1"],
    ["${NO-x}${NO:-y}${EMPTY-z}${EMPTY:-w}", "xyw"],
    ["${A:+set}${NO+set}${EMPTY:+set}|${EMPTY+set}", "set|set"],
    ["${NO:-${A}}", "1"],
    ["${A:?why}", "1"],
    ["a$ b$", "a$ b$"],
  ])("%s is put in its place", (text, expected) => {
    expect(interpolate(text, (name) => values[name], "$")).toEqual({ text: expected });
  });

  test("without a value is named", () => {
    for (const text of ["$NO", "${NO}", "${NO:?x}", "${A:-1}${NO}"])
      expect(interpolate(text, (name) => values[name], "$")).toEqual({ missing: "NO" });
  });

  test("is plain text behind what escapes it", () => {
    expect(interpolate("$$A \\$A", (name) => values[name], "$")).toEqual({ text: "$A \\1" });
    expect(interpolate("\\$A $A", (name) => values[name], "\\")).toEqual({ text: "$A 1" });
  });
});
