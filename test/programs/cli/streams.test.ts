import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const program = fileURLToPath(new URL("../../../bin/factory-secrets.mjs", import.meta.url));

const shell = (script: string) => {
  const { status, stdout, stderr } = spawnSync("bash", ["-c", script], {
    encoding: "utf8",
    env: { ...process.env, NODE: process.execPath, PROGRAM: program },
    timeout: 30_000,
  });
  return { status, said: stdout + stderr };
};

describe.skipIf(!existsSync("/dev/full"))("output that goes nowhere", () => {
  // What is stale is built now and not in the middle of a test.
  beforeAll(() => expect(shell('"$NODE" "$PROGRAM" --version').status).toBe(0));

  test("on a full disk is told in one sentence and fails", () => {
    const { status, said } = shell('"$NODE" "$PROGRAM" --help > /dev/full');
    expect(said).toBe("The output cannot be written (the disk is full).\n");
    expect(status).toBe(1);
  });

  test("leaves no trace of a stack, whichever stream is gone", () => {
    expect(shell('"$NODE" "$PROGRAM" nosuch 2> /dev/full')).toEqual({ status: 2, said: "" });
    expect(shell('"$NODE" "$PROGRAM" nosuch > /dev/full 2>&1')).toEqual({ status: 2, said: "" });
    expect(shell('{ sleep 0.2; "$NODE" "$PROGRAM" nosuch 2>&1; echo "ended with $?" >&2; } | true').said).toBe(
      "ended with 2\n",
    );
  });

  test("to a reader that has seen enough ends as SIGPIPE ends other programs", () => {
    expect(shell('set -o pipefail; { sleep 0.2; "$NODE" "$PROGRAM" --help; } | true')).toEqual({
      status: 141,
      said: "",
    });
  });
});
