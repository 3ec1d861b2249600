import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bearerHost, passwordHost } from "../cli/job/factory-for-jobs.js";
import { action, type GitHubRunner, openGitHubRunner } from "./github-runner.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

let factory: TrustingFactory;
let inputs: Record<string, string>;
let sha256: string;
beforeAll(async () => {
  factory = await startTrustingFactory();
  inputs = { url: factory.service.url, factory: factory.factory.name, timeout: "30" };
  const { file } = JSON.parse((await offered("/index.json")).toString());
  sha256 = createHash("sha256")
    .update(await offered(`/${file}`))
    .digest("hex");
});
afterAll(() => factory?.close());

async function offered(path: string): Promise<Buffer> {
  const reply = await fetch(`${factory.service.url}/cli${path}`);
  return Buffer.from(await reply.arrayBuffer());
}

let runner: GitHubRunner;
beforeEach(async () => {
  runner = await openGitHubRunner(() => factory.idToken());
});
afterEach(() => runner.close());

const readConfig = async (): Promise<Record<string, Record<string, Record<string, string>>>> =>
  JSON.parse((await runner.run('cat "$DOCKER_CONFIG/config.json"')).stdout);

/** What must be nowhere once the job has ended. */
const tokensIn = (config: Awaited<ReturnType<typeof readConfig>>): string[] =>
  Object.values(config.auths ?? {}).flatMap((entry) => Object.values(entry));

const usersConfig = () => join(runner.machine.home, ".docker", "config.json");

test("action.yml names files of this repository", () => {
  const { main, post } = action.runs;
  for (const file of [main, post])
    expect(existsSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)))).toBe(true);
  expect(action.runs["post-if"]).toBe("always()");
});

describe("the GitHub action", () => {
  test("gives later steps tokens, and leaves nothing on the machine", async () => {
    const before = runner.machine.files();
    const step = runner.uses({ ...inputs, "cli-sha256": sha256 });
    const done = await step.main();
    expect(done, done.stdout).toMatchObject({ exitCode: 0, stderr: "" });
    expect(done.stdout).not.toContain("::error");
    expect(done.stdout).not.toContain("::notice");
    const config = await readConfig();
    expect(config.auths).toEqual({
      [passwordHost]: { auth: expect.any(String) },
      [bearerHost]: { registrytoken: expect.any(String) },
    });
    expect(existsSync(usersConfig())).toBe(false);
    expect(statSync(join(step.outputs["docker-config"] ?? "", "config.json")).mode & 0o777).toBe(0o600);
    const ended = await step.post();
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    expect(runner.machine.files()).toEqual(before);
    for (const token of tokensIn(config)) expect(runner.machine.texts().join("\n")).not.toContain(token);
  });

  test("masks every part of a token before a later step could print it, and keeps none for the end", async () => {
    const step = runner.uses(inputs);
    const done = await step.main();
    const config = await readConfig();
    const [password = "", bearer = ""] = tokensIn(config);
    const secret = Buffer.from(password, "base64").toString("utf8").split(":").slice(1).join(":");
    const masked = [...done.stdout.matchAll(/^::add-mask::(.*)$/gm)].map(([, text]) => text);
    expect(new Set(masked)).toEqual(new Set([password, secret, bearer]));
    // Nothing of the login is shown before its masks.
    expect(done.stdout.indexOf("::add-mask::")).toBeLessThan(done.stdout.indexOf(passwordHost));
    const printed = await runner.run(`cat "$DOCKER_CONFIG/config.json"; echo "${secret}"`);
    for (const token of [password, secret, bearer]) {
      expect(done.log + printed.log).not.toContain(token);
      expect(JSON.stringify([step.state, step.outputs, runner.exported])).not.toContain(token);
    }
    await step.post();
  });

  test("puts a command line into PATH that needs no further settings and no node there", async () => {
    const step = runner.uses(inputs);
    await step.main();
    expect((await runner.run("command -v node || echo none")).stdout).toBe("none\n");
    const explained = await runner.run("factory-secrets ci explain --output json");
    expect(explained, explained.stderr).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(explained.stdout)).toMatchObject({ identity: "the ID token of this GitHub Actions job" });
    const helper = await runner.run(`echo ${passwordHost} | docker-credential-factory-secrets get`);
    expect(JSON.parse(helper.stdout)).toMatchObject({ ServerURL: passwordHost });
    await step.post();
  });

  test("used twice, gives all programs what both uses got, and each its own audience", async () => {
    const first = runner.uses({ ...inputs, registries: passwordHost });
    await first.main();
    const wanted = { ...inputs, registries: bearerHost, repositories: "acme/base" };
    const second = runner.uses(wanted, { FACTORY_SECRETS_AUDIENCE: "https://elsewhere.example.com" });
    expect(await second.main()).toMatchObject({ exitCode: 0 });
    const { DOCKER_CONFIG = "", REGISTRY_AUTH_FILE, FACTORY_SECRETS_AUDIENCE } = runner.exported;
    expect(REGISTRY_AUTH_FILE).toBe(join(DOCKER_CONFIG, "config.json"));
    expect(FACTORY_SECRETS_AUDIENCE).toBe(factory.service.url);
    expect(Object.keys((await readConfig()).auths ?? {}).sort()).toEqual([bearerHost, passwordHost].sort());
    await second.post();
    await first.post();
  });

  test("asks for the registry and the repositories that are named, one on each line", async () => {
    const step = runner.uses({ ...inputs, registries: `\n  ${bearerHost}\n\n`, repositories: "acme/base\n" });
    const done = await step.main();
    expect(done).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("acme/base") });
    expect(Object.keys((await readConfig()).auths ?? {})).toEqual([bearerHost]);
    await step.post();
  });

  test("asks for what the Dockerfiles of a folder name", async () => {
    mkdirSync(join(runner.workspace, "containers"));
    writeFileSync(join(runner.workspace, "containers", "Dockerfile"), `FROM ${bearerHost}/acme/base:1\n`);
    const step = runner.uses({ ...inputs, for: join(runner.workspace, "containers") });
    expect(await step.main()).toMatchObject({ exitCode: 0 });
    expect(Object.keys((await readConfig()).auths ?? {})).toEqual([bearerHost]);
    await step.post();
  });

  test("keeps to the audience of the rule that is named", async () => {
    const step = runner.uses({ ...inputs, audience: "somebody else" });
    runner.idToken.value = () => factory.idToken({ aud: "somebody else" });
    expect(await step.main()).toMatchObject({ exitCode: 1, stdout: expect.stringContaining('"somebody else"') });
    await step.post();
  });

  test("says how to pin the command line when it is not", async () => {
    const step = runner.uses(inputs);
    expect((await step.main()).stdout).toContain(`cli-sha256: ${sha256}\n`);
    await step.post();
  });
});

describe("docker's configuration of the user", () => {
  const theirs = { auths: { "other.example.com": { auth: "bm9ib2R5Om5vdGhpbmc=" } }, proxies: { default: {} } };
  const write = (config: unknown) => {
    mkdirSync(join(runner.machine.home, ".docker", "cli-plugins"), { recursive: true });
    writeFileSync(usersConfig(), JSON.stringify(config));
  };

  test("still counts in later steps, folders included, and is not changed", async () => {
    write(theirs);
    const before = readFileSync(usersConfig(), "utf8");
    const step = runner.uses(inputs);
    await step.main();
    expect(await readConfig()).toMatchObject({ ...theirs, auths: { ...theirs.auths, [bearerHost]: {} } });
    expect((await runner.run('ls -d "$DOCKER_CONFIG/cli-plugins"')).exitCode).toBe(0);
    expect(runner.exported).toMatchObject({ BUILDX_CONFIG: join(runner.machine.home, ".docker", "buildx") });
    await step.post();
    expect(readFileSync(usersConfig(), "utf8")).toBe(before);
    expect(existsSync(join(runner.machine.home, ".docker", "cli-plugins"))).toBe(true);
  });

  test("with a store: docker reads our tokens, and asks the store for what it holds", async () => {
    write({ auths: { "other.example.com": {}, [bearerHost]: {} }, credsStore: "desktop" });
    const step = runner.uses(inputs);
    expect(await step.main()).toMatchObject({ exitCode: 0 });
    const config = await readConfig();
    expect(config).not.toHaveProperty("credsStore");
    expect(config.credHelpers).toEqual({ "other.example.com": "desktop" });
    await step.post();
  });

  test("that docker could not read is a mistake, and is left as it is", async () => {
    write([]);
    const step = runner.uses(inputs);
    const done = await step.main();
    expect(done).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining(`::${usersConfig()} is not what docker`),
    });
    expect(runner.exported).toEqual({});
    expect(done.stdout).not.toContain("::add-mask::");
    await step.post();
    expect(readFileSync(usersConfig(), "utf8")).toBe("[]");
  });

  test("is what later steps have again after the end, so that others log out there", async () => {
    const earlier = join(runner.machine.home, "earlier");
    Object.assign(runner.exported, { DOCKER_CONFIG: earlier });
    const step = runner.uses(inputs);
    await step.main();
    expect(runner.exported.DOCKER_CONFIG).toBe(step.outputs["docker-config"]);
    const other = { REGISTRY_AUTH_FILE: "set by another action since" };
    Object.assign(runner.exported, other);
    await step.post();
    expect(runner.exported).toMatchObject({ DOCKER_CONFIG: earlier, BUILDX_CONFIG: "", ...other });
  });

  test("is written into when it is named, beside what stands there, and only that is taken out again", async () => {
    write(theirs);
    const step = runner.uses({ ...inputs, "docker-config": join(runner.machine.home, ".docker") });
    await step.main();
    expect(JSON.parse(readFileSync(usersConfig(), "utf8")).auths).toHaveProperty([bearerHost]);
    const ended = await step.post();
    expect(ended, ended.stdout).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(readFileSync(usersConfig(), "utf8"))).toEqual(theirs);
    expect(readFileSync(usersConfig(), "utf8")).not.toContain(bearerHost);
  });
});

describe("several logins", () => {
  test("in one job add up, and each takes its own away", async () => {
    const first = runner.uses({ ...inputs, registries: passwordHost });
    const second = runner.uses({ ...inputs, registries: bearerHost, repositories: "acme/base" });
    await first.main();
    await second.main();
    expect(Object.keys((await readConfig()).auths ?? {})).toEqual([passwordHost, bearerHost]);
    await second.post();
    expect(Object.keys((await readConfig()).auths ?? {})).toEqual([passwordHost]);
    await first.post();
    expect(runner.exported.DOCKER_CONFIG).toBe("");
  });

  test("of two jobs on one machine do not meet", async () => {
    const other = await openGitHubRunner(() => factory.idToken(), { onMachine: runner.machine });
    const ours = runner.uses({ ...inputs, registries: passwordHost });
    const theirs = other.uses({ ...inputs, registries: bearerHost, repositories: "acme/base" });
    const both = await Promise.all([ours.main(), theirs.main()]);
    expect(both.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
    expect(Object.keys((await readConfig()).auths ?? {})).toEqual([passwordHost]);
    await theirs.post();
    expect(Object.keys((await readConfig()).auths ?? {})).toEqual([passwordHost]);
    await ours.post();
    await other.close();
  });
});
