import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

const exec = (script: string) => machine.run(["ci", "exec", "--", "sh", "-c", script]);

describe("ci exec", () => {
  test("gives the command a configuration with the tokens, and removes it after", async () => {
    const done = await exec('stat -c %a "$DOCKER_CONFIG" "$DOCKER_CONFIG/config.json"; cat "$REGISTRY_AUTH_FILE"');
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    const [folderMode, fileMode, ...config] = done.stdout.split("\n");
    expect([folderMode, fileMode]).toEqual(["700", "600"]);
    expect(JSON.parse(config.join("\n"))).toEqual({
      auths: { [passwordHost]: { auth: expect.any(String) }, [bearerHost]: { registrytoken: expect.any(String) } },
    });
    expect(machine.files()).toEqual([]);
  });

  test("keeps the user's keys and folders in reach, and changes nothing of theirs", async () => {
    const own = { auths: { "registry.example.com": { auth: "bWU6bXk=" } }, currentContext: "builder", psFormat: "x" };
    machine.writeConfig(own);
    for (const folder of ["buildx", "cli-plugins", "contexts"]) {
      mkdirSync(join(machine.home, ".docker", folder));
      writeFileSync(join(machine.home, ".docker", folder, "mine"), folder);
    }
    const before = machine.files();
    const done = await exec(
      'cat "$DOCKER_CONFIG"/buildx/mine "$DOCKER_CONFIG"/cli-plugins/mine "$DOCKER_CONFIG"/contexts/mine; echo; echo "$BUILDX_CONFIG"; cat "$DOCKER_CONFIG"/config.json; touch "$DOCKER_CONFIG"/buildx/new',
    );
    const [folders, buildx, ...config] = done.stdout.split("\n");
    expect(folders).toBe("buildxcli-pluginscontexts");
    expect(buildx).toBe(join(machine.home, ".docker", "buildx"));
    expect(JSON.parse(config.join("\n"))).toMatchObject({ ...own, auths: { ...own.auths, [bearerHost]: {} } });
    expect(machine.readConfig()).toEqual(own);
    expect(machine.files()).toEqual([...before, "home/.docker/buildx/new"].sort());
  });

  test("reads a user's store around: their hosts keep it, ours are read from the file", async () => {
    machine.writeConfig({
      credsStore: "osxkeychain",
      auths: { "registry.example.com": {}, [passwordHost]: {} },
      credHelpers: { [bearerHost]: "desktop", "other.example.com": "desktop" },
    });
    const config = JSON.parse((await exec('cat "$DOCKER_CONFIG/config.json"')).stdout);
    expect(config).toEqual({
      auths: {
        "registry.example.com": {},
        [passwordHost]: { auth: expect.any(String) },
        [bearerHost]: { registrytoken: expect.any(String) },
      },
      credHelpers: { "registry.example.com": "osxkeychain", "other.example.com": "desktop" },
    });
  });

  test("ends with the exit code of the command", async () => {
    expect(await exec("exit 42")).toMatchObject({ exitCode: 42 });
    expect(await exec("kill -TERM $$")).toMatchObject({ exitCode: 143 });
  });

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)("passes %s on, waits for the command, and leaves nothing behind", async (signal, exitCode) => {
    const script = "echo ready; exec sleep 30";
    const done = await machine.run(["ci", "exec", "--", "sh", "-c", script], {
      onOutput: (pid, stdout) => {
        if (stdout === "ready\n") process.kill(pid, signal);
      },
    });
    expect(done).toMatchObject({ exitCode, signal: null });
    expect(machine.files()).toEqual([]);
  });

  test("lets a command that handles the signal end as it likes", async () => {
    const script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    const done = await machine.run(["ci", "exec", "--", "sh", "-c", script], {
      onOutput: (pid, stdout) => {
        if (stdout === "ready\n") process.kill(pid, "SIGTERM");
      },
    });
    expect(done).toMatchObject({ exitCode: 7, stdout: "ready\nbye\n" });
  });

  test("says 125 when the command was not started", async () => {
    const missing = await machine.run(["ci", "exec", "--", "no-such-program"]);
    expect(missing).toMatchObject({ exitCode: 125, stderr: "no-such-program: this program is not in PATH.\n" });
    const refused = await machine.run(["ci", "exec", "--registry", "quay.io", "--", "true"]);
    expect(refused).toMatchObject({ exitCode: 125, stdout: "" });
    expect(machine.files()).toEqual([]);
  });

  test("hands the command its own arguments, whatever they look like", async () => {
    const done = await machine.run(["ci", "exec", "--", "printf", "%s|", "--registry", "x", "--", "-h"]);
    expect(done).toMatchObject({ exitCode: 0, stdout: "--registry|x|--|-h|" });
  });
});

describe("ci token", () => {
  test("prints the token alone, and as the forms that are asked for", async () => {
    const args = ["ci", "token", "--registry", bearerHost, "--repository", "acme/base"];
    const plain = await machine.run(args);
    expect(plain).toMatchObject({ exitCode: 0, stderr: "", stdout: expect.stringMatching(/^\S+\n$/) });
    const bearer = plain.stdout.trim();
    expect(JSON.parse((await machine.run([...args, "--format", "json"])).stdout)).toMatchObject({ bearer });
    expect(JSON.parse((await machine.run([...args, "--format", "docker-config"])).stdout)).toEqual({
      auths: { [bearerHost]: { registrytoken: bearer } },
    });
  });

  test("has GitHub's runner mask every form of it before it is printed", async () => {
    const environment = { GITHUB_ACTIONS: "true" };
    const done = await machine.run(["ci", "token", "--registry", passwordHost], { environment });
    const password = done.stdout.trim();
    const basic = Buffer.from(`00000000-0000-0000-0000-000000000000:${password}`).toString("base64");
    expect(done.stderr).toBe(`::add-mask::${password}\n::add-mask::${basic}\n`);
    await machine.run(["ci", "login"], { environment });
    const { auths } = JSON.parse(readFileSync(machine.configPath, "utf8"));
    const again = await machine.run(["ci", "exec", "--", "true"], { environment });
    expect(again.stderr.split("\n")).toEqual(
      expect.arrayContaining([
        `::add-mask::${auths[passwordHost].auth}`,
        `::add-mask::${auths[bearerHost].registrytoken}`,
      ]),
    );
  });

  test("warns in a GitLab job, which cannot mask it", async () => {
    const args = ["ci", "token", "--registry", passwordHost];
    const { stdout, stderr } = await machine.run(args, { environment: { GITLAB_CI: "true" } });
    expect(stderr).toMatch(/^Warning: GitLab cannot mask this token\./);
    expect(stderr).not.toContain(stdout.trim());
  });
});
