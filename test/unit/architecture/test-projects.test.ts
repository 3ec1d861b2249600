import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { posix } from "node:path";
import { beforeAll, expect, test } from "vitest";

const root = new URL("../../", import.meta.url);

/** What each file below test/ imports at run time: files by their path below test/, packages by their name. */
const imports = new Map<string, string[]>();

beforeAll(async () => {
  const paths = (await readdir(root, { recursive: true })).filter((path) => path.endsWith(".ts"));
  for (const path of paths) imports.set(path, importsOf(path, await readFile(new URL(path, root), "utf8")));
});

function importsOf(path: string, text: string): string[] {
  const statements = [...text.matchAll(/^import\s+(?!type\s)([^"]*?)\s*from\s+"([^"]+)"/gm)];
  const atRunTime = statements.filter(([, names = ""]) => !/^\{(\s*type\s+\w+\s*,?)+\}$/.test(names));
  return atRunTime.map(([, , specifier = ""]) =>
    specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier).replace(/\.js$/, ".ts") : specifier,
  );
}

/** All that a file imports, itself or through others below test/. */
function reached(path: string, seen = new Set<string>()): Set<string> {
  for (const target of imports.get(path) ?? []) {
    if (seen.has(target)) continue;
    seen.add(target);
    reached(target, seen);
  }
  return seen;
}

const testsOf = (project: string) =>
  [...imports.keys()].filter((path) => path.startsWith(`${project}/`) && path.endsWith(".test.ts"));

/** The tests of a project that reach one of these. */
const reaching = (project: string, targets: readonly string[]) =>
  testsOf(project).filter((path) => targets.some((target) => reached(path).has(target)));

test("every test lies in one of the three projects, and each project has some", () => {
  const elsewhere = [...imports.keys()].filter(
    (path) => path.endsWith(".test.ts") && !/^(unit|service|programs)\//.test(path),
  );
  expect(elsewhere).toEqual([]);
  for (const project of ["unit", "service", "programs"]) expect(testsOf(project).length).toBeGreaterThan(10);
});

test("a test of unit starts no service, no database and no process", () => {
  const starting = ["support/test-service.ts", "support/test-database.ts", "node:child_process"];
  for (const target of starting.slice(0, 2)) expect(existsSync(new URL(target, root))).toBe(true);
  expect(reaching("unit", starting)).toEqual([]);
});

test("a test of service starts no program of ours and no Postgres", () => {
  const starting = ["support/command-process.ts", "support/programs/run-to-end.ts", "programs/crash/server-process.ts"];
  for (const target of starting) expect(existsSync(new URL(target, root))).toBe(true);
  expect(reaching("service", [...starting, "../src/db/embedded/open-embedded-postgres.ts"])).toEqual([]);
});
