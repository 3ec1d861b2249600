import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { whileAnswering } from "../../support/cli/stand-in-service.js";
import { bearerHost, passwordHost } from "../cli/job/factory-for-jobs.js";
import { componentJob } from "./gitlab-component.js";
import { type GitLabRunner, type JobOptions, openGitLabRunner } from "./gitlab-runner.js";
import { findProgram } from "./link-programs.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

const curl = findProgram("curl");
const noCurl = curl === undefined ? " (skipped: this machine has no curl)" : "";
const shells = [
  ["bash", "-eo", "pipefail"],
  ["dash", "-e"],
  ["busybox", "sh", "-e"],
].map(([name = "", ...args]) => {
  const path = findProgram(name);
  return { name, args, path, absent: path === undefined ? " (skipped: this machine has none)" : "" };
});

let factory: TrustingFactory;
let inputs: Record<string, string>;
beforeAll(async () => {
  factory = await startTrustingFactory();
  inputs = { url: factory.service.url, factory: factory.factory.name };
});
afterAll(() => factory?.close());

let runner: GitLabRunner;
beforeEach(() => {
  runner = openGitLabRunner();
});
afterEach(() => runner.close());

const withNode = (): JobOptions => ({ idToken: factory.idToken(), image: ["node"] });
const withCurl = (): JobOptions => ({ idToken: factory.idToken(), image: ["curl"] });
const images = [
  { name: "with Node", options: withNode },
  { name: "without Node", options: withCurl },
].filter(({ options }) => options === withNode || noCurl === "");

async function nothingListens(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  return `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
}

/** What docker would read. */
const read = 'cat "$DOCKER_CONFIG/config.json"';
const bothAuths = { [passwordHost]: { auth: expect.any(String) }, [bearerHost]: { registrytoken: expect.any(String) } };
/** `ci login` says on standard output what it has done, before the script speaks. */
const configIn = (stdout: string): { auths: Record<string, Record<string, string>> } =>
  JSON.parse(stdout.slice(stdout.indexOf("{")));

/** The image's own programs stay; all else goes with the job. */
const left = () => runner.machine.files().filter((name) => !/^tmp\/image-\d+\//.test(name));

describe("GitLab's component", () => {
  describe.each(shells)("in $name$absent", ({ path, args }) => {
    const shell = [path ?? "", ...args] as const;

    test.skipIf(path === undefined)("gives the script tokens and leaves nothing, with Node", async () => {
      const job = runner.job(inputs, `${read}; command -v factory-secrets >&2`, { ...withNode(), shell });
      const done = await job.run();
      expect(done, done.stderr).toMatchObject({ exitCode: 0 });
      expect(configIn(done.stdout).auths).toEqual(bothAuths);
      expect(done.stderr).toMatch(/\/bin\/factory-secrets\n$/);
      expect(await job.end()).toMatchObject({ exitCode: 0 });
      expect(left()).toEqual([]);
    });

    test.skipIf(path === undefined || noCurl !== "")(`and so it does without Node${noCurl}`, async () => {
      const job = runner.job(inputs, read, { ...withCurl(), shell });
      const done = await job.run();
      expect(done, done.stderr).toMatchObject({ exitCode: 0, stderr: "" });
      expect(configIn(done.stdout).auths).toEqual(bothAuths);
      expect(await job.end()).toMatchObject({ exitCode: 0 });
      expect(left()).toEqual([]);
    });
  });

  test("prints no token, and keeps its folder from other users", async () => {
    const script = 'ls -ld "$FS_LOGIN_DIR"; cat "$DOCKER_CONFIG/config.json" >"$HOME/seen"; umask';
    const job = runner.job(inputs, script, { ...withNode(), image: ["node", "ls"] });
    const done = await job.run();
    expect(done.stdout).toMatch(/^drwx------ /m);
    // The script's own umask is what the image has.
    expect(done.stdout.trimEnd().split("\n").at(-1)).not.toBe("0077");
    const tokens = Object.values(configIn(runner.machine.texts().find((text) => text.includes("auths")) ?? "").auths);
    expect(tokens).toHaveLength(2);
    for (const token of tokens.flatMap((entry) => Object.values(entry)))
      expect(done.stdout + done.stderr).not.toContain(token);
    await job.end();
  });

  test("removes the tokens of a script that fails, and what a job has left that was killed", async () => {
    const killed = runner.job(inputs, "true", withNode());
    await killed.run();
    expect(left()).not.toEqual([]);
    const job = runner.job(inputs, "exit 3", withNode());
    expect(await job.run()).toMatchObject({ exitCode: 3 });
    await job.end();
    expect(left()).toEqual([]);
  });

  test("logs out of a folder that the job has named", async () => {
    const folder = join(runner.machine.home, ".docker");
    mkdirSync(folder);
    const theirs = { auths: { "other.example.com": { auth: "bm9ib2R5Om5vdGhpbmc=" } } };
    writeFileSync(join(folder, "config.json"), JSON.stringify(theirs));
    // podman and skopeo read it by another name.
    const script = 'cat "$REGISTRY_AUTH_FILE"';
    const job = runner.job(inputs, script, { ...withNode(), variables: { DOCKER_CONFIG: folder } });
    const done = await job.run();
    expect(configIn(done.stdout).auths).toEqual({ ...theirs.auths, ...bothAuths });
    await job.end();
    expect(runner.machine.readConfig()).toEqual(theirs);
  });

  test.each(images)("asks for the registry and the repositories that are named, $name", async ({ options }) => {
    const wanted = { registries: bearerHost, repositories: "acme/base" };
    const done = await runner.job({ ...inputs, ...wanted }, read, options()).run();
    expect(done, done.stderr).toMatchObject({ exitCode: 0 });
    expect(Object.keys(configIn(done.stdout).auths)).toEqual([bearerHost]);
    const two = { registries: `${passwordHost} ${bearerHost}` };
    const both = await runner.job({ ...inputs, ...two }, read, options()).run();
    expect(configIn(both.stdout).auths).toEqual(bothAuths);
  });

  test("asks for what the Dockerfiles of a folder name", async () => {
    const folder = join(runner.machine.home, "containers");
    mkdirSync(folder);
    writeFileSync(join(folder, "Dockerfile"), `FROM ${bearerHost}/acme/base:1\n`);
    const done = await runner.job({ ...inputs, for: folder }, read, withNode()).run();
    expect(Object.keys(configIn(done.stdout).auths)).toEqual([bearerHost]);
  });

  test("runs the pinned command line, and says how to pin it when it is not", async () => {
    const facts = await fetch(`${inputs.url}/cli/index.json`);
    const { file } = JSON.parse(await facts.text());
    const tarball = await (await fetch(`${inputs.url}/cli/${file}`)).arrayBuffer();
    const sha256 = createHash("sha256").update(Buffer.from(tarball)).digest("hex");
    const unpinned = await runner.job(inputs, "true", withNode()).run();
    expect(unpinned.stderr).toContain(`To pin it: cli-sha256: ${sha256}\n`);
    const pinned = await runner.job({ ...inputs, "cli-sha256": sha256 }, "true", withNode()).run();
    expect(pinned).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining("pin") });
  });

  test.skipIf(noCurl !== "")(`gets curl by apk where the image is Alpine's${noCurl}`, async () => {
    const apk = `#!/bin/sh\n[ "$*" = "add --no-cache curl" ] && ln -s ${curl} "\${0%/*}/curl"\n`;
    const done = await runner.job(inputs, read, { idToken: factory.idToken(), scripts: { apk } }).run();
    expect(done, done.stderr).toMatchObject({ exitCode: 0 });
    expect(configIn(done.stdout).auths).toEqual(bothAuths);
  });
});

describe("GitLab's component refuses", () => {
  const failing = async (wanted: Record<string, string | boolean>, more: JobOptions) => {
    const job = runner.job({ ...inputs, ...wanted }, "echo the script runs", more);
    const done = await job.run();
    expect(done.exitCode, done.stderr).not.toBe(0);
    expect(done.stdout).not.toContain("the script runs");
    expect(await job.end()).toMatchObject({ exitCode: 0 });
    expect(left()).toEqual([]);
    return done.stderr;
  };

  describe.each(images)("in its own words, $name,", ({ options }) => {
    test.each([
      ["a factory that does not know the job", { factory: "misspelt" }, /misspelt|unauthenticated/],
      ["a repository", { registries: bearerHost, repositories: "acme/secret" }, /outside-grants/],
      ["repositories without their registry", { repositories: "acme/base" }, /exactly one (--)?registry/],
    ])("%s", async (_, wanted, sentence) => {
      expect(await failing(wanted, options())).toMatch(sentence);
    });

    test("a job that no rule lets in", async () => {
      const stranger = { ...options(), idToken: factory.idToken({ project_id: "8" }) };
      expect(await failing({}, stranger)).toMatch(/No trust rule|unauthenticated/);
    });
  });

  test("a job without an ID token", async () => {
    expect(await failing({}, { ...withNode(), idToken: "" })).toContain("GitLab gave no ID token.");
  });

  test("an image that has neither Node nor curl", async () => {
    expect(await failing({}, { idToken: factory.idToken() })).toContain("neither Node 20.19 or later nor curl");
  });

  test.skipIf(noCurl !== "")(`what only the command line can do, without Node${noCurl}`, async () => {
    expect(await failing({ for: "containers" }, withCurl())).toContain("the input for needs Node 20.19");
    const own = { ...withCurl(), variables: { DOCKER_CONFIG: runner.machine.home } };
    expect(await failing({}, own)).toContain("a DOCKER_CONFIG of your own needs Node 20.19");
  });

  test("another command line than the pinned one", async () => {
    const said = await failing({ "cli-sha256": "0".repeat(64) }, withNode());
    expect(said).toContain("cli-sha256 names another. It was not run.");
  });

  test("to fetch the command line over plain HTTP unpinned", async () => {
    expect(await failing({ url: "http://secrets.example.com" }, withNode())).toContain("Over plain HTTP anybody");
  });

  test.skipIf(noCurl !== "")(`to send a token over plain HTTP${noCurl}`, async () => {
    expect(await failing({ url: "http://secrets.example.com" }, withCurl())).toContain("over plain HTTP anybody");
  });

  test.skipIf(noCurl !== "").each([
    ["a redirect", 302],
    ["a page of somebody else", 200],
  ])(`%s in the place of tokens${noCurl}`, async (_, status) => {
    const answer = (_request: unknown, response: ServerResponse) =>
      void response.writeHead(status, { location: "https://elsewhere.example.com" }).end("<html></html>");
    const said = await whileAnswering(answer, (url) => failing({ url }, withCurl()));
    expect(said).toContain("is not factory-secrets. Is the url right?");
  });

  test("a service that is down", async () => {
    const url = await nothingListens();
    expect(await failing({ url }, withNode())).toContain(
      "/cli/index.json does not give the command line (ECONNREFUSED)",
    );
  });

  test.each([
    ["url", "https://secrets.example.com/"],
    ["url", 'https://a"b'],
    ["factory", 'a"b'],
    ["job", "login"],
    ["registries", "ghcr.io;id"],
    ["repositories", 'a","b'],
    ["cli-sha256", "abc"],
    ["allow-partial", "yes"],
  ])("the input %s with the value %j, before the pipeline starts", (name, value) => {
    expect(() => componentJob({ ...inputs, [name]: value })).toThrow(`the input ${name}`);
  });
});
