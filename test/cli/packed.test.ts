import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FactoryForJobs, passwordHost, startFactoryForJobs } from "./ci/factory-for-jobs.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

let factory: FactoryForJobs;
let directory: string;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  directory = realpathSync(mkdtempSync(join(tmpdir(), "packed-cli-")));
}, 60_000);
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await factory?.close();
});

/** Only what a machine has on which nothing of this clone is. */
const bare = (): Record<string, string> => {
  const home = join(directory, "home");
  mkdirSync(home, { recursive: true });
  // A registry that nobody is: whoever asked it would fail.
  return {
    PATH: `${dirname(process.execPath)}:/usr/bin:/bin`,
    HOME: home,
    npm_config_registry: "http://127.0.0.1:9/",
    npm_config_cache: join(directory, "no-cache"),
  };
};

async function offeredFacts() {
  const reply = await fetch(`${factory.service.url}/cli`, { headers: { accept: "application/json" } });
  return JSON.parse(await reply.text());
}

/** Fetches the tarball as its page says, and installs it in an empty folder. @returns where its programs are */
async function installOffered(): Promise<string> {
  const page = await offeredFacts();
  expect(page.version).toBe(manifest.version);
  const folder = join(directory, "empty");
  mkdirSync(folder);
  const [fetching, checking] = page.install;
  await run("sh", ["-c", `${fetching} && ${checking.replace(" --global", "")}`], { cwd: folder, env: bare() });
  return join(folder, "node_modules", ".bin");
}

describe("the command line that the service offers", () => {
  test("installs in an empty folder, offline, and serves jobs and operators", async () => {
    const bin = await installOffered();
    const environment = {
      ...bare(),
      FACTORY_SECRETS_URL: factory.service.url,
      FACTORY_SECRETS_FACTORY: factory.factory.name,
      FACTORY_SECRETS_TOKEN: await factory.narrowJob(),
    };
    const loggedIn = await run(join(bin, "factory-secrets"), ["ci", "login"], { env: environment });
    expect(loggedIn.stdout).toContain(passwordHost);
    const helper = run(join(bin, "docker-credential-factory-secrets"), ["get"], { env: environment });
    helper.child.stdin?.end(passwordHost);
    expect(JSON.parse((await helper).stdout).ServerURL).toBe(passwordHost);
    const asOperator = { ...environment, FACTORY_SECRETS_TOKEN: factory.service.operatorToken };
    const listed = await run(join(bin, "factory-secrets"), ["secrets", "list", "-o", "yaml"], { env: asOperator });
    expect(listed.stdout).toMatch(/^items:\n {2}- name: azprincipal\n/);
    const version = await run(join(bin, "factory-secrets"), ["--version"], { env: bare() });
    expect(version.stdout).toBe(`${manifest.version}\n`);
    const help = await run(join(bin, "factory-secrets"), ["--help"], { env: bare() });
    expect(help.stdout).not.toContain("operator-token");
  }, 60_000);

  test("holds nothing of the server", async () => {
    const { stdout } = await run(process.execPath, [join(root, "scripts", "pack-cli.mjs"), directory]);
    const [tarball = "", checksum] = stdout.trim().split("\n");
    expect(checksum).toBe(`sha256 ${createHash("sha256").update(readFileSync(tarball)).digest("hex")}`);
    const offered = await fetch(`${factory.service.url}/cli/factory-secrets-cli-${manifest.version}.tgz`);
    expect(Buffer.from(await offered.arrayBuffer()).equals(readFileSync(tarball))).toBe(true);
    const { stdout: listed } = await run("tar", ["-tzf", tarball]);
    const ours = listed.split("\n").filter((name) => name.startsWith("package/dist/"));
    // The two that read a name and ask nobody.
    const pure = ["factory-config/normalise-host.js", "broker/references/image-reference.js"];
    const isExpected = (name: string) =>
      /^package\/dist\/cli\/((ci|client|operator|completion)\/|[\w-]+\.js$)/.test(name) ||
      pure.some((file) => name === `package/dist/${file}`);
    expect(ours.filter((name) => !isExpected(name))).toEqual([]);
    for (const file of ["server-work", "factory-secrets", "signing-keys"])
      expect(ours).not.toContain(`package/dist/cli/${file}.js`);
    const packages = new Set([...listed.matchAll(/^package\/node_modules\/([^/]+)\//gm)].map(([, name]) => name));
    const ofDockerfiles = ["dockerfile-ast", "vscode-languageserver-textdocument", "vscode-languageserver-types"];
    expect([...packages].toSorted()).toEqual(["commander", ...ofDockerfiles, "yaml"]);
  }, 60_000);
});

test("the package of the whole has the program and what it offers, wherever its packages are", async () => {
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", directory], {
    cwd: root,
  });
  const [{ filename }] = JSON.parse(stdout);
  const modules = join(directory, "hoisted", "node_modules");
  const home = join(modules, "factory-secrets");
  mkdirSync(home, { recursive: true });
  await run("tar", ["-xzf", join(directory, filename), "-C", home, "--strip-components=1"]);
  // As npm lays them out: beside the package and not in it.
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  const program = join(home, "bin", "factory-secrets.mjs");
  const version = await run(process.execPath, [program, "--version"], { cwd: directory });
  expect(version.stdout).toBe(`${manifest.version}\n`);
  const keys = await run(process.execPath, [program, "signing-keys", "--help"], { cwd: directory });
  expect(keys.stdout).toContain("rotate");
  const module = join(home, "dist", "system", "command-line", "read-offered.js");
  const script = `const m = await import(${JSON.stringify(module)}); process.stdout.write((await m.readOffered(m.offeredDirectory)).sha256 + " " + (await m.readOfferedHelper()).sha256)`;
  const offered = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: directory });
  const facts = await offeredFacts();
  expect(offered.stdout).toBe(`${facts.sha256} ${facts.helper.sha256}`);
}, 60_000);
