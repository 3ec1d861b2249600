import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { timeOf } from "../../../../src/cli/client/read-time.js";
import { readInput } from "../../../../src/cli/operator/given-input.js";

const now = new Date("2026-06-01T12:00:00Z");

describe("a time", () => {
  test.each([
    ["2026-02-28", "2026-02-28T00:00:00.000Z"],
    ["2028-02-29", "2028-02-29T00:00:00.000Z"],
    ["2026-05-01T10:00Z", "2026-05-01T10:00:00.000Z"],
    ["2026-05-01t10:00:30.5+02:00", "2026-05-01T08:00:30.500Z"],
    ["90d", "2026-03-03T12:00:00.000Z"],
    ["0s", "2026-06-01T12:00:00.000Z"],
  ])("%s is %s", (text, expected) => {
    expect(timeOf(text, "past", now)?.toISOString()).toBe(expected);
  });

  test.each([
    ...["2026-02-30", "2026-02-29", "2026-04-31T10:00:00Z", "2026-13-01", "2026-00-10", "2026-05-01T25:00Z"],
    // The zone of the machine would decide.
    ...["2026-05-01T10:00", "2026-05-01T10:00:00", "2026-05-01T10:00:00 Z", "2026-05-01Tmorning", "2026-05-01T"],
    ...["-1h", "1e3d", "90 d", "1h30m", "", "now", "1d\n", "2026-05-01\n", "+275760-09-13", "9999999d", "20260501"],
  ])("is not %j", (text) => {
    expect(timeOf(text, "past", now)).toBeUndefined();
  });
});

test("input is read to its end, and refused where it has none", async () => {
  const ended = Readable.from([Buffer.from("a"), Buffer.from("b")]);
  expect((await readInput(ended, "x")).toString()).toBe("ab");
  let given = 0;
  const endless = Readable.from(
    (function* () {
      for (; given < 100; given += 1) yield Buffer.alloc(1024 * 1024);
    })(),
  );
  await expect(readInput(endless, "/dev/zero")).rejects.toThrow("/dev/zero has more than 16 MiB, which is the limit.");
  expect(given).toBeLessThan(40);
});
