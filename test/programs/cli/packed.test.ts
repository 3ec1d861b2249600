import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FactoryForJobs, passwordHost, startFactoryForJobs } from "./job/factory-for-jobs.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

let factory: FactoryForJobs;
let directory: string;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  directory = realpathSync(mkdtempSync(join(tmpdir(), "packed-cli-")));
});
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
  const reply = await fetch(`${factory.service.url}/cli/index.json`);
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
  });

  test("exports the audit with the login of an operator, and verifies it offline without any setting", async () => {
    const bin = join(directory, "empty", "node_modules", ".bin", "factory-secrets");
    const environment = {
      ...bare(),
      FACTORY_SECRETS_URL: factory.service.url,
      FACTORY_SECRETS_FACTORY: factory.factory.name,
      FACTORY_SECRETS_TOKEN: factory.service.operatorToken,
    };
    const [ofFactory, ofAll, keys] = ["factory.ndjson", "all.ndjson", "keys.pem"].map((name) => join(directory, name));
    if (!ofFactory || !ofAll || !keys) throw new Error("three names");
    const exported = await run(bin, ["audit", "export", "--out", ofFactory], { env: environment });
    expect(exported.stderr).toMatch(/^Wrote .*factory\.ndjson: \d+ events of the factory [\w-]+\.\n$/);
    await run(bin, ["audit", "export", "--installation", "--out", ofAll], { env: environment });
    writeFileSync(keys, (await run(bin, ["audit", "keys"], { env: environment })).stdout);
    for (const file of [ofFactory, ofAll]) {
      const verified = await run(bin, ["audit", "verify", "--file", file, "--public-key", keys], { env: bare() });
      expect(verified.stdout).toMatch(/^Log: +\S.* \d+ events, index 0 to \d+, /);
      expect(verified.stdout).toContain("OK: no event was altered, removed, inserted, re-ordered or truncated.\n");
      const lines = readFileSync(file, "utf8").split("\n");
      writeFileSync(file, lines.filter((line) => !line.includes('"index":2,')).join("\n"));
      const broken = run(bin, ["audit", "verify", "--file", file, "--public-key", keys], { env: bare() });
      await expect(broken).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/^BROKEN at line /) });
    }
  });

  test("completes names in bash by asking the service, across colons and equals signs", async () => {
    const bin = join(directory, "empty", "node_modules", ".bin");
    const environment = {
      ...bare(),
      PATH: `${bin}:${bare().PATH}`,
      FACTORY_SECRETS_URL: factory.service.url,
      FACTORY_SECRETS_FACTORY: factory.factory.name,
      FACTORY_SECRETS_TOKEN: factory.service.operatorToken,
    };
    const { stdout: script } = await run("factory-secrets", ["completion", "bash"], { env: environment });
    /** What bash offers at the end of the line, which it has taken apart into these words. */
    const offered = async (line: string, ...words: string[]) => {
      const given = ["factory-secrets", ...words].map((word) => `'${word}'`).join(" ");
      const asking = `${script}\nCOMP_LINE='${line}' COMP_POINT=${line.length} COMP_WORDS=(${given}) COMP_CWORD=${words.length}; _factory_secrets; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await run("bash", ["--norc", "-c", asking], { env: environment });
      return stdout.split("\n").filter((word) => word !== "");
    };
    expect(await offered("factory-secrets secrets show az", "secrets", "show", "az")).toEqual(["azprincipal"]);
    expect(await offered("factory-secrets secrets sh", "secrets", "sh")).toEqual(["show"]);
    const named = factory.factory.name;
    const start = named.slice(0, 3);
    expect(
      await offered(`factory-secrets secrets list --factory ${start}`, "secrets", "list", "--factory", start),
    ).toContain(named);
    expect(
      await offered(`factory-secrets secrets list --factory=${start}`, "secrets", "list", "--factory", "=", start),
    ).toContain(named);
    const host = passwordHost.slice(0, 4);
    expect(await offered(`factory-secrets registries show ${host}`, "registries", "show", host)).toEqual([
      passwordHost,
    ]);
  });

  test("without a file, audit verify says how to get one and where the database is checked", async () => {
    const bin = join(directory, "empty", "node_modules", ".bin", "factory-secrets");
    await expect(run(bin, ["audit", "verify"], { env: bare() })).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/audit export --out .*\n.*in its clone: npx factory-secrets audit verify\n$/),
    });
  });

  test("runs by npx from its address, without an installation and without any registry", async () => {
    const npx = join(dirname(process.execPath), "npx");
    const address = `${factory.service.url}/cli/factory-secrets-cli.tgz`;
    const home = join(directory, "npx");
    const { stdout } = await run(npx, ["-y", address, "--version"], {
      env: { ...bare(), npm_config_cache: home, npm_config_update_notifier: "false" },
    });
    expect(stdout).toBe(`${manifest.version}\n`);
  });

  test("holds nothing of the server", async () => {
    const { stdout } = await run(process.execPath, [join(root, "scripts", "pack-cli.mjs"), directory]);
    const [tarball = "", checksum] = stdout.trim().split("\n");
    expect(checksum).toBe(`sha256 ${createHash("sha256").update(readFileSync(tarball)).digest("hex")}`);
    const offered = await fetch(`${factory.service.url}/cli/factory-secrets-cli-${manifest.version}.tgz`);
    expect(Buffer.from(await offered.arrayBuffer()).equals(readFileSync(tarball))).toBe(true);
    const { stdout: listed } = await run("tar", ["-tzf", tarball]);
    const { stdout: bundled } = await run("tar", ["-xzOf", tarball, "package/dist"], { maxBuffer: 2 ** 26 });
    // The bundler writes above each module where it came from.
    const ours = [...bundled.matchAll(/^\/\/ src\/(.+)\.ts$/gm)].map(([, name = ""]) => name);
    expect(ours).toContain("cli/packed-program");
    const ofCore = [
      "core/error-code",
      "core/nearest-name",
      "core/normalise-host",
      "core/package-root",
      "core/visible-text",
    ];
    const pure = [...ofCore, "broker/references/image-reference", "settings/client-names"];
    // What checks an export of the audit, which test/unit/architecture lists file by file.
    const verifier = /^audit\/log\/(checkpoint|read-event|tree|verify)$/;
    const isExpected = (name: string) =>
      /^cli\/((job|client|operator)\/|[\w-]+$)/.test(name) || pure.includes(name) || verifier.test(name);
    expect(ours.filter((name) => !isExpected(name))).toEqual([]);
    expect(ours).not.toContain("cli/factory-secrets");
    const packages = new Set([...listed.matchAll(/^package\/node_modules\/([^/]+)\//gm)].map(([, name]) => name));
    expect([...packages].toSorted()).toEqual(["@jmespath-community", "commander", "fastest-levenshtein", "yaml"]);
  });
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
  // What the service offers, where it looks for it: beside its package.json.
  const facts = await offeredFacts();
  const sha256Of = (...path: string[]) =>
    createHash("sha256")
      .update(readFileSync(join(home, ...path)))
      .digest("hex");
  expect(sha256Of("dist", "offered", `factory-secrets-cli-${manifest.version}.tgz`)).toBe(facts.sha256);
  expect(sha256Of("clients", "docker-credential-factory-secrets")).toBe(facts.helper.sha256);
});
