import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FactoryForJobs, passwordHost, startFactoryForJobs } from "./factory-for-jobs.js";

const run = promisify(execFile);
const script = fileURLToPath(new URL("../../../scripts/pack-cli.mjs", import.meta.url));

let factory: FactoryForJobs;
let directory: string;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  directory = mkdtempSync(join(tmpdir(), "packed-cli-"));
}, 60_000);
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await factory?.close();
});

test("the packed command line works alone, and holds nothing of the server", async () => {
  const packed = await run(process.execPath, [script, directory]);
  const [tarball = "", checksum] = packed.stdout.trim().split("\n");
  expect(checksum).toBe(`sha256 ${createHash("sha256").update(readFileSync(tarball)).digest("hex")}`);
  await run("tar", ["-xzf", tarball, "-C", directory]);
  const listed = await run("tar", ["-tzf", tarball]);
  const files = listed.stdout.split("\n").filter((name) => name.startsWith("package/dist/"));
  expect(files.filter((name) => !/^package\/dist\/(cli\/|factory-config\/normalise-host\.js$)/.test(name))).toEqual([]);
  expect(files).not.toContain("package/dist/cli/server-work.js");
  const home = join(directory, "home");
  mkdirSync(home);
  const environment = {
    PATH: process.env.PATH,
    HOME: home,
    FACTORY_SECRETS_URL: factory.service.url,
    FACTORY_SECRETS_FACTORY: factory.factory.name,
    FACTORY_SECRETS_TOKEN: await factory.narrowJob(),
  };
  const program = join(directory, "package", "bin", "factory-secrets.mjs");
  const loggedIn = await run(process.execPath, [program, "ci", "login"], { env: environment });
  expect(loggedIn.stdout).toContain(passwordHost);
  const help = await run(process.execPath, [program, "--help"]);
  expect(help.stdout).not.toContain("operator-token");
}, 60_000);
