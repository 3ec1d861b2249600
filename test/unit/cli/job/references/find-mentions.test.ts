// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles and compose files

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findMentions } from "../../../../../src/cli/job/references/find-mentions.js";
import { interpolate } from "../../../../../src/cli/job/references/interpolate.js";
import type { Mention } from "../../../../../src/cli/job/references/mention.js";
import { lex } from "../../../../../src/cli/job/references/shell-lexer.js";

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
  target?: string;
};

async function find({
  buildArgs = [],
  platforms = [],
  environment = {},
  profiles,
  target,
}: Options = {}): Promise<string[]> {
  const variables = (name: string): string | undefined => environment[name];
  const tree = { directory, buildArgs: new Map(buildArgs), platforms, variables, profiles, target };
  return (await findMentions(tree)).mentions.map(line);
}

function line(mention: Mention): string {
  const place = `${mention.file}:${mention.line} ${mention.by}`;
  if ("reference" in mention) return `${place} ${mention.reference}`;
  return "unresolved" in mention ? `${place} ? ${mention.unresolved}` : `${place} passed over`;
}

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
      "FROM \\",
      "  scratch AS empty",
      "COPY --from=build /a /b",
      "from alpine",
      "COPY --from=EMPTY /a /b",
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
    expect(await find()).toEqual(["Dockerfile:2 FROM ? The variable NAME has no value. Pass it with --build-arg."]);
    put(".docker_build_args", "# ours", "NAME=base");
    expect(await find()).toEqual(["Dockerfile:2 FROM ghcr.io/acme/base"]);
    expect(await find({ buildArgs: [["NAME", "given"]] })).toEqual(["Dockerfile:2 FROM ghcr.io/acme/given"]);
  });

  test("that names its base by the platform has one for each that is asked for", async () => {
    put("Dockerfile", "FROM ghcr.io/acme/base-$TARGETARCH:1");
    expect(await find()).toEqual([
      "Dockerfile:1 FROM ? The variable TARGETARCH has no value. Name the platforms with --platform.",
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
      "app/docker-compose.yml:2 image ghcr.io/acme/base:8",
      "app/docker-compose.yml:5 image ghcr.io/acme/app:8",
      "app/docker-compose.yml:9 image hub.example.com/three:$literal",
      "app/docker-compose.yml:14 image ? The variable UNSET has no value. Set it in the environment or in the .env next to the file.",
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
      "common.yml:3 image ghcr.io/acme/common:1",
      "compose.yaml:1 include passed over",
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
    put("src/build.txt", "ARG BASE=none", "FROM $BASE", "COPY --from=tools /a /b");
    expect(await find()).toEqual([
      "src/build.txt:2 FROM ghcr.io/acme/base:1",
      "src/build.txt:3 COPY --from ghcr.io/acme/tools:1",
    ]);
  });

  test("leaves out services of profiles that are not named", async () => {
    put(
      "compose.yml",
      "services:",
      "  a: {image: a}",
      "  b: {image: b, profiles: [debug]}",
      "  c: {image: c, profiles: [test]}",
    );
    expect(await find({ profiles: ["test"] })).toEqual(["compose.yml:2 image a", "compose.yml:4 image c"]);
    expect(await find()).toEqual(["compose.yml:2 image a"]);
    expect(await find({ environment: { COMPOSE_PROFILES: "debug,test" } })).toHaveLength(3);
    expect(await find({ profiles: ["*"] })).toHaveLength(3);
  });

  test("that is not YAML, or expands aliases without end, is reported and the other files are read", async () => {
    put("compose.yml", "services: [");
    const lots = Array.from({ length: 9 }, (_, n) => `x${n + 1}: &x${n + 1} [${`*x${n},`.repeat(9)}]`);
    put("b/compose.yml", "x0: &x0 [a]", ...lots, "services: *x9");
    put("c/compose.yml", "services: {a: {image: alpine}}");
    expect(await find()).toEqual([
      "b/compose.yml:1 compose ? This is not valid YAML.",
      "c/compose.yml:1 image alpine",
      expect.stringMatching(/^compose.yml:\d compose \? This is not valid YAML\.$/),
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
    expect(interpolate(text, (name) => values[name])).toEqual({ text: expected, unset: [] });
  });

  test("without a value is named", () => {
    for (const text of ["$NO", "${NO}", "${NO:?x}", "${A:-1}${NO}"])
      expect(interpolate(text, (name) => values[name]).unset).toEqual(["NO"]);
  });

  test("is plain text behind what escapes it", () => {
    expect(interpolate("$$A \\$A", (name) => values[name])).toEqual({ text: "$A \\1", unset: [] });
    expect(lex("\\$A $A", { escapeToken: "\\", variables: (name) => values[name] })).toMatchObject({ text: "$A 1" });
  });
});

describe("what a build pulls", () => {
  test("is of the stages that the target needs, and of triggers of its base", async () => {
    put(
      "Dockerfile",
      "FROM ghcr.io/acme/base:1 AS base",
      "ONBUILD COPY --chown=1 --from=ghcr.io/acme/onbuild:1 /a /b",
      "FROM ghcr.io/acme/never:1 AS never",
      "FROM base AS App",
      "ONBUILD RUN --mount=from=ghcr.io/acme/never:2 true",
      "FROM ghcr.io/acme/last:1",
      "COPY --from=App /a /b",
    );
    const base = ["Dockerfile:1 FROM ghcr.io/acme/base:1", "Dockerfile:2 COPY --from ghcr.io/acme/onbuild:1"];
    expect(await find()).toEqual([...base, "Dockerfile:6 FROM ghcr.io/acme/last:1"]);
    expect(await find({ target: "APP" })).toEqual(base);
    expect(await find({ target: "none" })).toEqual(['Dockerfile:1 --target ? The Dockerfile has no stage "none".']);
  });

  test("is read past comments, empty lines, quotes, and a backslash in front of another", async () => {
    put(
      "Dockerfile",
      "#!/usr/bin/env -S docker build",
      "# syntax=ghcr.io/acme/frontend:1 # ours",
      "",
      "# escape=`",
      "FROM alpine AS a",
      "RUN one \\",
      "  # a comment",
      "",
      "  COPY --from=ghcr.io/acme/not:1 a b",
      'COPY --chmod="0 644" --from="ghcr.io/acme/quoted:1" a b',
      "RUN echo 1 \\\\",
      "COPY --from=ghcr.io/acme/yes:1 a b",
      'RUN ["echo", "<<EOF"]',
      "COPY <<ONE <<-TWO /d/",
      "FROM ghcr.io/acme/not:2",
      "ONE",
      "COPY --from=ghcr.io/acme/not:3 a b",
      "\tTWO",
      'RUN --mount=type=bind,"from=ghcr.io/acme/csv:1",target=/x true',
      "COPY -- --from=ghcr.io/acme/not:4 /b",
    );
    expect(await find()).toEqual([
      "Dockerfile:2 syntax ghcr.io/acme/frontend:1",
      "Dockerfile:5 FROM alpine",
      "Dockerfile:10 COPY --from ghcr.io/acme/quoted:1",
      "Dockerfile:12 COPY --from ghcr.io/acme/yes:1",
      "Dockerfile:19 RUN --mount ghcr.io/acme/csv:1",
    ]);
  });

  test.each([
    ["ghcr.io/${A:-x}/${B:+y}z${C-w}", "ghcr.io/a/zw"],
    ["ghcr.io/a/${V##*.}:1", "ghcr.io/a/3:1"],
    ["ghcr.io/a/${V#*.}:1", "ghcr.io/a/2.3:1"],
    ["ghcr.io/a/${V%.*}:1", "ghcr.io/a/v1.2:1"],
    ["ghcr.io/a/${V%%.*}:1", "ghcr.io/a/v1:1"],
    ["ghcr.io/a/${V/./_}:1", "ghcr.io/a/v1_2.3:1"],
    ["ghcr.io/a/${V//./_}:1", "ghcr.io/a/v1_2_3:1"],
    ["ghcr.io/a/${V//?./}:1", "ghcr.io/a/v3:1"],
    ["ghcr.io/'a'\"/b\"$NOT:1", "ghcr.io/a/b:1"],
    ["ghcr.io/${NOT:-${A}b}/c", "ghcr.io/ab/c"],
  ])("puts variables in their places: %s", async (written, expected) => {
    put("Dockerfile", "ARG A=a B= V=v1.2.3", `FROM ${written}`);
    expect(await find()).toEqual([`Dockerfile:2 FROM ${expected}`]);
  });

  test("cannot be told where a variable is missing, required or badly written, or the file is", async () => {
    for (const base of ["$NO", "x/$NO", "${NO:?say it}", "${}", "${A", "'x"]) {
      put("Dockerfile", `FROM ${base}`);
      expect(await find()).toEqual([expect.stringMatching(/^Dockerfile:1 FROM \? /)]);
    }
    put("compose.yml", "services: {a: {build: {context: gone}}}");
    expect(await find()).toEqual(["compose.yml:1 build ? Its Dockerfile gone/Dockerfile cannot be read."]);
  });

  test("is not told of what lies elsewhere: that is passed over aloud", async () => {
    put(
      "compose.yml",
      "include: ['oci://docker.io/acme/stack:1']",
      "services:",
      "  git: {build: 'https://github.com/acme/app.git#main'}",
      "  ssh: {build: {context: 'git@github.com:acme/app.git'}}",
      "  other: {extends: {file: 'https://example.com/base.yml', service: x}, image: a}",
      "  cached:",
      "    build:",
      "      context: .",
      "      cache_from: [ghcr.io/acme/cache:1]",
    );
    put("Dockerfile", "FROM b");
    expect(await find()).toEqual([
      "Dockerfile:1 FROM b",
      "compose.yml:1 include passed over",
      "compose.yml:3 build passed over",
      "compose.yml:4 build passed over",
      "compose.yml:5 extends passed over",
      "compose.yml:5 image a",
      "compose.yml:9 cache_from passed over",
    ]);
  });

  test("follows COMPOSE_FILE, overrides over lists and mappings, documents of one file, and aliases of merges", async () => {
    put(".env", "COMPOSE_FILE=one.yml:two.yml", "export BASE='b' # ours", 'MORE="x', 'y"', "T: 3");
    put(
      "one.yml",
      "services: {a: {build: {context: ., args: {BASE: one, T: '1'}}, image: ours}}",
      "---",
      "services: {b: {image: 'b:${T}'}}",
    );
    put(
      "two.yml",
      "x-all: &all [{image: first}, {image: second}]",
      "services:",
      "  a: {build: {args: [BASE]}}",
      "  c: {<<: *all}",
      "  d: {image: ours, depends_on: [a]}",
    );
    put("compose.yaml", "services: {not: {image: not}}");
    put("Dockerfile", "ARG BASE", "ARG T", "FROM $BASE:$T");
    expect(await find()).toEqual(["Dockerfile:3 FROM b:1", "one.yml:3 image b:3", "two.yml:1 image first"]);
  });
});
