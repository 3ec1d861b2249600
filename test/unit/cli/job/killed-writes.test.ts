import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hasMark, withMark } from "../../../../src/cli/client/change-files.js";
import { writeFiles } from "../../../../src/cli/job/materialize.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "killed-writes-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = (name: string, text: string) => ({ name, content: Buffer.from(text) });
const write = (...files: ReturnType<typeof file>[]) => writeFiles(directory, files, { keepExisting: false });

describe("a folder of a job's files", () => {
  test("that a run has left half written is written by the next one, whatever it holds", async () => {
    await write(file("registry-1", "ci:first"));
    // It ends before it comes to the second file.
    const broken = write(file("no-such-folder/file", "x"), file("registry-1", "ci:second"));
    await expect(broken).rejects.toThrow("cannot be written (there is no such file or folder)");
    expect(readFileSync(join(directory, "registry-1"), "utf8")).toBe("ci:first");
    expect(await write(file("registry-1", "ci:third"))).toMatchObject({ written: ["registry-1"], kept: [] });
    expect(readFileSync(join(directory, "registry-1"), "utf8")).toBe("ci:third");
  });
});

describe("marks", () => {
  test("know what was written last, and what a killed run may have left", () => {
    const marks = withMark(withMark(withMark(undefined, "a"), "b"), "a");
    expect(["a", "b", "c"].map((mark) => hasMark(marks, mark))).toEqual([true, true, false]);
    expect(hasMark(undefined, "a")).toBe(false);
    expect(hasMark(marks, undefined)).toBe(false);
  });

  test("are few, however often a job logs in", () => {
    const marks = Array.from({ length: 50 }, (_, n) => `m${n}`).reduce<string | undefined>(withMark, undefined);
    expect(marks).toBe("m46 m47 m48 m49");
  });
});
