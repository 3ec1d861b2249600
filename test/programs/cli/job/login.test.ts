import { chmodSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
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

const own = { auths: { "registry.example.com": { auth: "bWU6bXk=" } }, HttpHeaders: { "X-Mine": "1" }, psFormat: "x" };
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe("ci login", () => {
  test("writes all that the job may have, for its user alone, and shows no credential", async () => {
    const done = await machine.run(["ci", "login"]);
    expect(done).toMatchObject({ exitCode: 0 });
    const config = machine.readConfig();
    expect(config).toEqual({
      auths: {
        [passwordHost]: { auth: expect.any(String) },
        [bearerHost]: { registrytoken: expect.any(String) },
      },
    });
    expect(modeOf(machine.configPath)).toBe("600");
    expect(modeOf(join(machine.home, ".docker"))).toBe("700");
    expect(done.stdout).toMatch(/^REGISTRY +KIND +REPOSITORIES +LIMITED BY +EXPIRES\n/);
    expect(done.stdout).toContain(`Written to ${machine.configPath}.`);
    for (const [, credential] of JSON.stringify(config).matchAll(/"(?:auth|registrytoken)":"([^"]+)"/g))
      expect(`${done.stdout}${done.stderr}`).not.toContain(credential);
  });

  test("what it wrote pulls", async () => {
    await machine.run(["ci", "login"]);
    const config = JSON.parse(readFileSync(machine.configPath, "utf8"));
    const authorization = `Bearer ${config.auths[bearerHost].registrytoken}`;
    const path = "/v2/acme/base/manifests/latest";
    expect((await factory.clouds.request({ host: bearerHost, path, headers: { authorization } })).status).toBe(200);
  });

  test("keeps what others have written, and the order of it", async () => {
    machine.writeConfig(own);
    chmodSync(machine.configPath, 0o644);
    expect(await machine.run(["ci", "login"])).toMatchObject({ exitCode: 0 });
    expect(machine.readConfig()).toMatchObject(own);
    expect(Object.keys(JSON.parse(readFileSync(machine.configPath, "utf8")))).toEqual(Object.keys(own));
    expect(modeOf(machine.configPath)).toBe("600");
  });

  test("writes through a symbolic link, to the file that it leads to", async () => {
    const real = join(machine.home, "elsewhere.json");
    writeFileSync(real, JSON.stringify(own));
    mkdirSync(join(machine.home, ".docker"));
    symlinkSync("../elsewhere.json", machine.configPath);
    expect(await machine.run(["ci", "login"])).toMatchObject({ exitCode: 0 });
    expect(lstatSync(machine.configPath).isSymbolicLink()).toBe(true);
    expect(JSON.parse(readFileSync(real, "utf8"))).toMatchObject({ ...own, auths: { [passwordHost]: {} } });
  });

  test("takes the folder that DOCKER_CONFIG names", async () => {
    const directory = join(machine.home, "of-this-job");
    await machine.run(["ci", "login"], { environment: { DOCKER_CONFIG: directory } });
    expect(machine.files()).toEqual(["home/of-this-job/.factory-secrets-login.json", "home/of-this-job/config.json"]);
  });

  test("asks for one registry and some repositories of it, and says so as JSON", async () => {
    const args = ["ci", "login", "--registry", bearerHost, "--repository", "acme/base", "--output", "json"];
    const { stdout } = await machine.run(args);
    expect(JSON.parse(stdout)).toEqual({
      configPath: machine.configPath,
      items: [
        {
          registry: bearerHost,
          kind: "bearer",
          repositories: ["acme/base"],
          scopeEnforcedBy: "registry",
          scopeVerified: true,
          expiresAt: expect.any(String),
        },
      ],
      asksItself: [],
      failures: [],
    });
  });

  test("with --allow-partial writes what there is and names what is not", async () => {
    const whole = await factory.machine();
    const refused = await whole.run(["ci", "login"]);
    expect(refused).toMatchObject({ exitCode: 5, stdout: "" });
    expect(refused.stderr).toMatch(/^1 registry gave no token:\n {2}ghcr\.io: .*\(repositories-required\)\n/);
    expect(whole.files()).toEqual([]);
    const done = await whole.run(["ci", "login", "--allow-partial"]);
    expect(done).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("ghcr.io gave no token: ") });
    expect(whole.readConfig()).toEqual({ auths: { [passwordHost]: { auth: expect.any(String) } } });
    const args = ["ci", "login", "--allow-partial", "--registry", bearerHost];
    expect(await whole.run(args)).toMatchObject({ exitCode: 5, stdout: "" });
    whole.close();
  });

  test.each([
    ["no JSON", '{"auths": {', /is not a JSON object\. It was not changed/],
    ["auths that are a list", '{"auths": []}', /"auths" in .* is not a JSON object/],
  ])("leaves a config.json with %s as it is", async (_, text, sentence) => {
    machine.writeConfig(text);
    const refused = await machine.run(["ci", "login"]);
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(sentence) });
    expect(readFileSync(machine.configPath, "utf8")).toBe(text);
  });

  test.each([
    ["credsStore", { credsStore: "osxkeychain" }],
    ["credHelpers", { credHelpers: { [passwordHost]: "desktop" } }],
  ])("respects %s, and says what to do instead", async (member, config) => {
    machine.writeConfig(config);
    const refused = await machine.run(["ci", "login", "--registry", passwordHost]);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain(`has "${member}": docker asks docker-credential-`);
    expect(refused.stderr).toContain("ci exec");
    expect(machine.readConfig()).toEqual(config);
  });

  test("writes nothing for a host that docker asks our helper for", async () => {
    machine.writeConfig({ credHelpers: { [passwordHost]: "factory-secrets" } });
    const done = await machine.run(["ci", "login"]);
    expect(done).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining(`${passwordHost}: not written, because docker gets`),
    });
    expect(machine.readConfig()).toMatchObject({ auths: { [bearerHost]: {} } });
    expect(Object.keys(JSON.parse(readFileSync(machine.configPath, "utf8")).auths)).toEqual([bearerHost]);
  });
});

describe("ci logout", () => {
  test("removes what login wrote, and all else is as it was", async () => {
    machine.writeConfig(own);
    const before = readFileSync(machine.configPath, "utf8");
    await machine.run(["ci", "login"]);
    expect(await machine.run(["ci", "logout"])).toMatchObject({ exitCode: 0, stdout: "" });
    expect(readFileSync(machine.configPath, "utf8").trim()).toBe(before);
    expect(machine.files()).toEqual(["home/.docker/config.json"]);
  });

  test("leaves an entry that another login has replaced", async () => {
    await machine.run(["ci", "login"]);
    const config = JSON.parse(readFileSync(machine.configPath, "utf8"));
    config.auths[passwordHost] = { auth: "bWU6bXk=" };
    machine.writeConfig(config);
    const done = await machine.run(["ci", "logout"]);
    expect(done.stderr).toContain(`${passwordHost}: kept, because another login has replaced ours.`);
    expect(machine.readConfig()).toEqual({ auths: { [passwordHost]: { auth: "bWU6bXk=" } } });
  });

  test("makes no file where nobody logged in", async () => {
    expect(await machine.run(["ci", "logout"])).toMatchObject({ exitCode: 0 });
    expect(machine.files()).toEqual([]);
  });
});
