import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bearerHost, type FactoryForJobs, passwordHost, startFactoryForJobs } from "../factory-for-jobs.js";
import type { JobMachine } from "../job-machine.js";

let factory: FactoryForJobs;
let machine: JobMachine;
beforeAll(async () => {
  factory = await startFactoryForJobs();
});
afterAll(() => factory?.close());
beforeEach(async () => {
  machine = await factory.machine(await factory.narrowJob());
});
afterEach(() => machine.close());

const treeOf = () => join(machine.home, "tree");

function put(file: string, ...lines: string[]): void {
  const path = join(treeOf(), file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${lines.join("\n")}\n`);
}

const check = (...args: string[]) => machine.run(["check", "--dir", treeOf(), ...args]);

describe("check", () => {
  test("passes where every image can be pulled, and tells of one without a login", async () => {
    put("Dockerfile", `FROM ${bearerHost}/acme/base:multi AS base`, "FROM alpine", "COPY --from=base /a /b");
    put("compose.yml", `services: {a: {image: "${passwordHost}/acme/app:single"}}`);
    const done = await check();
    expect(done).toMatchObject({ exitCode: 0, stderr: "Checked 3, of which 0 cannot be pulled.\n" });
    expect(done.stdout).toMatch(/^WHERE +IMAGE +OUTCOME +ENTRY +PLATFORMS\n/);
    expect(done.stdout).toMatch(
      /Dockerfile:1 +ghcr\.io\/acme\/base:multi +ok +ghcr\.io +linux\/amd64,linux\/arm64\/v8\n/,
    );
    expect(done.stdout).toContain("Dockerfile:2: alpine: No registry entry");
    expect(await check("--require-covered")).toMatchObject({ exitCode: 1 });
  });

  test("fails for one that is missing, refused, not for the platform, or cannot be told", async () => {
    const [base, app] = [`${bearerHost}/acme/base`, `${bearerHost}/acme/app`];
    put("1.Dockerfile", `FROM ${base}:gone AS gone`, `FROM ${app}:multi`, "COPY --from=gone /a /b");
    put("2.Dockerfile", "ARG X", "FROM $X AS x", `FROM ${base}:multi`, "COPY --from=x /a /b");
    const done = await check("--output", "json", "--platform", "windows/amd64");
    expect(done.exitCode).toBe(1);
    const { items } = JSON.parse(done.stdout);
    expect(items.map((item: { outcome: string; fails: boolean }) => [item.outcome, item.fails])).toEqual([
      ["missing", true],
      ["refused", true],
      ["unresolved", true],
      ["platform-missing", true],
    ]);
  });

  test("annotates on GitHub, and in SARIF, at the file and line", async () => {
    put("a, b/Dockerfile", `FROM ${bearerHost}/acme/base:gone`);
    const github = await check("--output", "github");
    const place = "::error file=a%2C b/Dockerfile,line=1,title=ghcr.io/acme/base%3Agone missing::";
    expect(github.stdout).toBe(`${place}${github.stdout.slice(place.length)}`);
    const { runs } = JSON.parse((await check("--output", "sarif")).stdout);
    const artifactLocation = { uri: "a,%20b/Dockerfile" };
    expect(runs[0].results).toMatchObject([
      {
        ruleId: "missing",
        level: "error",
        locations: [{ physicalLocation: { artifactLocation, region: { startLine: 1 } } }],
      },
    ]);
  });

  test.each(["table", "json", "sarif", "github"])(
    "prints nothing of the files that acts on a log, as %s",
    async (form) => {
      const hostile = "x\n::warning title=x::y\u001b[2J\u202e\u200b\u2028##[error]z";
      put(`Dockerfile.${hostile}`, `FROM ${bearerHost}/acme/base:\u202e\u001b[1m`, "FROM $NOT\u0007");
      put("compose.yml", `services: {a: {image: ${JSON.stringify(hostile)}}}`);
      const done = await check("--output", form);
      const all = `${done.stdout}\n${done.stderr}`;
      expect(all).toContain("warning title");
      expect(all).not.toMatch(/[^\n\P{Cc}]|[\p{Cf}\p{Zl}\p{Zp}]|^\s*::warning|##\[/mu);
      if (form === "json") expect(JSON.parse(done.stdout).items).toHaveLength(2);
      if (form === "github") expect(done.stdout).toMatch(/^(::(error|notice) file=.*\n)+$/);
    },
  );

  test("says in a sentence when no file names an image, the folder does not exist, or the service is down", async () => {
    put("README", "");
    expect(await check()).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("names an image.") });
    const nowhere = await machine.run(["check", "--dir", join(treeOf(), "no")]);
    expect(nowhere).toMatchObject({
      exitCode: 1,
      stderr: `${join(treeOf(), "no")} cannot be read (there is no such file or folder).\n`,
    });
    put("Dockerfile", "FROM alpine");
    expect(await check("--url", "http://127.0.0.1:9", "--timeout", "1")).toMatchObject({ exitCode: 6 });
  });
});

describe("ci login --for", () => {
  const login = (environment: Record<string, string> = {}) =>
    machine.run(["ci", "login", "--for", treeOf()], { environment });

  test("asks for exactly what the files name, and passes over what needs no login", async () => {
    const images = [`${bearerHost}/acme/base:1`, `${bearerHost}/acme/app:1`];
    put("Dockerfile", "FROM alpine", ...images.map((image) => `COPY --from=${image} /a /b`));
    const done = await login({ FACTORY_SECRETS_TOKEN: (await factory.openJob()).token });
    expect(done).toMatchObject({ exitCode: 0 });
    expect(machine.readConfig()).toEqual({ auths: { [bearerHost]: { registrytoken: expect.any(String) } } });
    expect(done.stderr).toContain("docker.io: no registry entry or no grant of this job covers it");
    const repositories = ["acme/app", "acme/base"];
    expect((await factory.events("registry-token.issued")).at(-1)).toMatchObject({
      registry: bearerHost,
      repositories,
    });
  });

  test("fails when an image cannot be told, after the login to the others", async () => {
    put("Dockerfile", "ARG BASE", "FROM $BASE AS base", `FROM ${bearerHost}/acme/app:1`, "COPY --from=base / /");
    const environment = { FACTORY_SECRETS_TOKEN: (await factory.openJob()).token };
    expect(await login(environment)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("--build-arg") });
    expect(machine.readConfig()).toEqual({ auths: { [bearerHost]: { registrytoken: expect.any(String) } } });
    const partly = ["ci", "login", "--for", treeOf(), "--allow-partial"];
    expect(await machine.run(partly, { environment })).toMatchObject({ exitCode: 0 });
  });

  test("fails for a repository that the job has no grant for, and not for a registry that it has none for", async () => {
    put("Dockerfile", `FROM ${bearerHost}/acme/app:1`);
    expect(await login()).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("outside-grants") });
    put("Dockerfile", `FROM ${bearerHost}/acme/base:1`, "FROM other.example.com/x");
    expect(await login()).toMatchObject({ exitCode: 0 });
    put("Dockerfile", "FROM alpine");
    expect(await login()).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("needs a login") });
  });
});
