import { beforeAll, expect, test } from "vitest";
import { readSourceFiles, type SourceFile } from "./source-files.js";

/** Files of the server that may ask the machine what time it is, and why. */
const exceptions: Readonly<Record<string, string>> = {
  "core/database-clock.ts": "compares it with the database's",
  "broker/providers/google/token.ts": "the library counts the life of a token by it, and this takes it off again",
};

let files: SourceFile[];
beforeAll(async () => {
  files = await readSourceFiles();
});

test("what is stored, signed or compared with something stored goes by the database's clock", () => {
  // The command line for jobs and operators stores nothing but files of its own.
  const ofServer = files.filter(({ path }) => !path.startsWith("cli/") || /-work\.ts$|signing-keys\.ts$/.test(path));
  const asking = ofServer.filter(({ text }) => /new Date\(\)|Date\.now\b/.test(text)).map(({ path }) => path);
  expect(asking.sort()).toEqual(Object.keys(exceptions).sort());
});
