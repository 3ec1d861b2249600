import { mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join, posix, win32 } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { dockerConfigDirectory } from "../../../../src/cli/job/docker-config.js";
import { bearerHost, type FactoryForJobs, passwordHost, startFactoryForJobs } from "./factory-for-jobs.js";
import type { JobMachine } from "./job-machine.js";

let factory: FactoryForJobs;
beforeAll(async () => {
  factory = await startFactoryForJobs();
});
afterAll(() => factory?.close());

let machine: JobMachine;
beforeEach(async () => {
  machine = await factory.machine(await factory.narrowJob());
});
afterEach(() => machine.close());

const auths = (): string[] => Object.keys(JSON.parse(readFileSync(machine.configPath, "utf8")).auths).sort();

test("several logins at once on one config.json lose nothing", async () => {
  machine.writeConfig({ auths: { "registry.example.com": { auth: "bWU6bXk=" } } });
  const one = ["ci", "login", "--registry", passwordHost];
  const other = ["ci", "login", "--registry", bearerHost];
  const done = await Promise.all([one, other, one, other].map((args) => machine.run(args)));
  expect(done.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr))).toEqual([0, 0, 0, 0]);
  expect(auths()).toEqual([passwordHost, bearerHost, "registry.example.com"].sort());
  expect(machine.files()).toEqual(["home/.docker/.factory-secrets-login.json", "home/.docker/config.json"]);
  await machine.run(["ci", "logout"]);
  expect(auths()).toEqual(["registry.example.com"]);
});

test("killed between writing and renaming, it leaves the old file whole, and the next login goes on", async () => {
  machine.writeConfig({ auths: { "registry.example.com": { auth: "bWU6bXk=" } } });
  const before = readFileSync(machine.configPath, "utf8");
  const killer = join(machine.home, "kill-at-rename.mjs");
  // The record of the login is renamed first; the second rename is config.json's.
  writeFileSync(
    killer,
    `import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
const { rename } = fs;
fs.rename = (from, to) => (to.endsWith("/config.json") ? process.kill(process.pid, "SIGKILL") : rename(from, to));
syncBuiltinESMExports();
`,
  );
  const killed = await machine.run(["ci", "login"], { nodeArguments: ["--import", killer] });
  expect(killed.signal).toBe("SIGKILL");
  expect(readFileSync(machine.configPath, "utf8")).toBe(before);
  const left = machine.files().filter((name) => /config\.json\.(factory-secrets-lock|[0-9a-f]{12})$/.test(name));
  expect(left).toHaveLength(2);
  // As if the kill were a while ago: nobody waits for a process that is gone, and what it wrote does not stay.
  const then = new Date(Date.now() - 120_000);
  for (const name of left) utimesSync(join(machine.home, "..", name), then, then);
  expect(await machine.run(["ci", "login"])).toMatchObject({ exitCode: 0 });
  expect(auths()).toEqual([passwordHost, bearerHost, "registry.example.com"].sort());
  expect(machine.files().filter((name) => left.includes(name))).toEqual([]);
});

test("waits for the one that holds the lock", async () => {
  const lock = `${machine.configPath}.factory-secrets-lock`;
  mkdirSync(dirname(lock), { recursive: true });
  writeFileSync(lock, "of another process");
  const waiting = machine.run(["ci", "login"]);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(machine.files()).toEqual(["home/.docker/config.json.factory-secrets-lock"]);
  utimesSync(lock, new Date(0), new Date(0));
  expect(await waiting).toMatchObject({ exitCode: 0 });
});

test("docker's folder is where docker looks for it, on each system", () => {
  expect(dockerConfigDirectory({}, "/home/you", posix)).toBe("/home/you/.docker");
  expect(dockerConfigDirectory({ DOCKER_CONFIG: "/job" }, "/home/you", posix)).toBe("/job");
  expect(dockerConfigDirectory({}, "C:\\Users\\you", win32)).toBe("C:\\Users\\you\\.docker");
});
