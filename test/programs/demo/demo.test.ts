import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

let scratch: string;

beforeEach(async () => {
  scratch = await realpath(await mkdtemp(join(tmpdir(), "demo-test-")));
  await chmod(scratch, 0o755);
});

afterEach(() => rm(scratch, { recursive: true, force: true }));

/** Its temporary files all come to lie in `scratch`. */
function startDemo(): { child: ChildProcess; output: () => string; ended: Promise<number | null> } {
  const child = spawn(process.execPath, ["--import", "tsx", "demo/play.ts"], {
    cwd: root,
    env: { ...process.env, TMPDIR: scratch },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = once(child, "close").then(([code]) => code);
  return { child, output: () => output, ended };
}

const isReachable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket
      .once("connect", () => resolve(true))
      .once("error", () => resolve(false))
      .once("connect", () => socket.destroy());
  });

const leftovers = async (): Promise<string[]> =>
  (await readdir(scratch)).filter((name) => name.startsWith("factory-secrets-demo-"));

test("the demo plays both walk-throughs, shows no whole secret and leaves nothing behind", async () => {
  const demo = startDemo();
  expect(await demo.ended, demo.output()).toBe(0);
  const output = demo.output();
  expect(output).toContain("STAND-INS");
  expect(output.match(/manifests\/latest 200: pulled/g)).toHaveLength(2);
  expect(output.match(/refused by the registry/g)).toHaveLength(2);
  expect(output).toContain("asking once more: 401");
  expect(output).toContain("All steps did what they promise.");
  for (const secret of ["wJalrXUtnFEMI", "not-a-real-secret-1"]) expect(output).not.toContain(secret);
  expect(output).not.toMatch(/fs[oj]_\w{12}/);
  expect(await leftovers()).toEqual([]);
});

test("interrupted, the demo ends with 1 and takes its server and data with it", async () => {
  const demo = startDemo();
  let port: string | undefined;
  while (port === undefined && demo.child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    port = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(demo.output())?.[1];
  }
  demo.child.kill("SIGINT");
  expect(await demo.ended, demo.output()).toBe(1);
  expect(demo.output()).not.toContain("All steps did what they promise.");
  expect(await isReachable(Number(port))).toBe(false);
  expect(await leftovers()).toEqual([]);
});
