import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bearerHost } from "../cli/job/factory-for-jobs.js";
import { type ActionStep, type GitHubRunner, openGitHubRunner, type StepResult } from "./github-runner.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

let factory: TrustingFactory;
let inputs: Record<string, string>;
beforeAll(async () => {
  factory = await startTrustingFactory();
  inputs = { url: factory.service.url, factory: factory.factory.name, timeout: "30" };
});
afterAll(() => factory?.close());

let runner: GitHubRunner;
afterEach(() => runner.close());

/** One annotation that says what to do, no export, and nothing left behind once the job has ended. */
async function expectRefusal(step: ActionStep, ...sentences: readonly string[]): Promise<StepResult> {
  const before = runner.machine.files();
  const done = await step.main();
  expect(done, done.stdout).toMatchObject({ exitCode: 1, stderr: "" });
  const errors = done.stdout.split("\n").filter((line) => line.startsWith("::error "));
  expect(errors).toHaveLength(1);
  for (const sentence of sentences) expect(errors[0]).toContain(sentence);
  expect(runner.exported).toEqual({});
  if (Object.keys(step.state).length > 0) {
    const ended = await step.post();
    expect(ended, ended.stdout).toMatchObject({ exitCode: 0, stderr: "" });
    expect(ended.stdout).not.toContain("::error");
  }
  expect(runner.machine.files()).toEqual(before);
  return done;
}

describe("without the right to an ID token", () => {
  beforeEach(async () => {
    runner = await openGitHubRunner(() => factory.idToken(), { permitted: false });
  });

  test("the permission to add is named, and nothing is fetched", async () => {
    const done = await expectRefusal(runner.uses(inputs), "permissions:%0A    contents: read%0A    id-token: write%0A");
    expect(done.stdout).not.toContain("::notice");
  });

  test("a pull request from a fork is told that it gets none", async () => {
    const event = join(runner.temporary, "..", "event.json");
    for (const repo of [{ full_name: "somebody/app" }, null]) {
      writeFileSync(event, JSON.stringify({ pull_request: { head: { repo } } }));
      await expectRefusal(runner.uses(inputs), "no ID token to a pull request from a fork", "%0A  if: github.event.");
    }
    writeFileSync(event, JSON.stringify({ pull_request: { head: { repo: { full_name: "acme/app" } } } }));
    await expectRefusal(runner.uses(inputs), "id-token: write");
  });

  test("a job that has a token of its own goes on with that", async () => {
    const { token } = await factory.openJob();
    const step = runner.uses({ ...inputs, registries: "example.azurecr.io" }, { FACTORY_SECRETS_TOKEN: token });
    expect(await step.main()).toMatchObject({ exitCode: 0 });
    await step.post();
  });
});

describe("a login that cannot be", () => {
  beforeEach(async () => {
    runner = await openGitHubRunner(() => factory.idToken());
  });

  test("because no rule lets the job in says whom to ask", async () => {
    runner.idToken.value = () => factory.idToken({ project_id: "8" });
    await expectRefusal(runner.uses(inputs), "No trust rule of the factory", "trust-rules:explain");
  });

  test("because GitHub gives no ID token says which permission it takes", async () => {
    runner.idToken.status = 403;
    await expectRefusal(runner.uses(inputs), "GitHub gave no ID token", "id-token: write");
  });

  test("because there is no such factory says so", async () => {
    await expectRefusal(runner.uses({ ...inputs, factory: "misspelt" }), "misspelt");
  });

  test("because the job may not pull the repository says what it may", async () => {
    const step = runner.uses({ ...inputs, registries: bearerHost, repositories: "acme/secret" });
    await expectRefusal(step, "outside-grants", `acme/base of ${bearerHost}`);
  });

  test("because repositories stand there without their registry says how", async () => {
    await expectRefusal(runner.uses({ ...inputs, repositories: "acme/base" }), "exactly one --registry");
  });

  test.each([
    [{ url: "" }, "The input url is missing"],
    [{ url: "secrets.example.com" }, "The input url is an http:// or https:// URL"],
    [{ factory: " " }, "The input factory is missing."],
    [{ "allow-partial": "yes" }, "The input allow-partial is true or false."],
    [{ "cli-sha256": "abc" }, "64 hexadecimal digits"],
    [{ timeout: "0" }, "from 1 to 3600"],
    [{ url: "http://secrets.example.com" }, "Over plain HTTP anybody on the way"],
    [{ url: "https://no.such.host.invalid" }, "is not known here"],
    [{ "ca-file": "nowhere.pem" }, "ca-file names a file that cannot be read"],
  ])("because of %j says what is wrong with it", async (wrong, sentence) => {
    await expectRefusal(runner.uses({ ...inputs, ...wrong }), sentence);
  });

  test("because another command line is pinned runs none, and names the one that is offered", async () => {
    const done = await expectRefusal(
      runner.uses({ ...inputs, "cli-sha256": "0".repeat(64) }),
      "cli-sha256 names another. It was not run.",
    );
    expect(done.stdout).toMatch(/with the SHA-256 [0-9a-f]{64},/);
  });
});

describe("what is at the url, and is not the service as it should be,", () => {
  let answers: Record<string, { status: number; body: string; location?: string }>;
  let server: Server;
  let url: string;
  beforeEach(async () => {
    runner = await openGitHubRunner(() => factory.idToken());
    answers = {};
    server = createServer((request, response) => {
      const { status, body, location } = answers[request.url ?? ""] ?? { status: 404, body: "" };
      response.writeHead(status, location === undefined ? {} : { location }).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  });
  afterEach(() => new Promise<void>((resolve) => void server.close(() => resolve())));

  const offer = (file: string, sha256: string, body: string) => {
    answers["/cli/index.json"] = { status: 200, body: JSON.stringify({ file, sha256 }) };
    answers[`/cli/${file}`] = { status: 200, body };
  };

  test("nothing: it is tried for as long as it is told to", async () => {
    await new Promise<void>((resolve) => void server.close(() => resolve()));
    const started = Date.now();
    await expectRefusal(runner.uses({ ...inputs, url, timeout: "2" }), "does not answer (ECONNREFUSED). Tried for 2 s");
    expect(Date.now() - started).toBeGreaterThan(900);
    server.listen(0, "127.0.0.1");
  });

  test("a service that is busy is asked again, and then given up", async () => {
    answers["/cli/index.json"] = { status: 503, body: "" };
    await expectRefusal(runner.uses({ ...inputs, url, timeout: "2" }), "/cli/index.json answered 503. Tried for 2 s");
  });

  test("a service that does not finish its answer is given up in time", async () => {
    server.removeAllListeners("request").on("request", (_, response) => response.writeHead(200).write("{"));
    await expectRefusal(runner.uses({ ...inputs, url, timeout: "2" }), "does not answer (not in time). Tried for 2 s");
    server.closeAllConnections();
  });

  test("a redirect is not followed: what is fetched is run", async () => {
    answers["/cli/index.json"] = { status: 302, body: "", location: "https://elsewhere.example.com/cli" };
    await expectRefusal(
      runner.uses({ ...inputs, url }),
      "answered 302. It redirects to https://elsewhere.example.com.",
    );
  });

  test("a page of somebody else is no command line", async () => {
    answers["/cli/index.json"] = { status: 200, body: "<html></html>" };
    await expectRefusal(runner.uses({ ...inputs, url }), "is not what factory-secrets does");
    offer("../../factory-secrets-cli-1.tgz", "0".repeat(64), "");
    await expectRefusal(runner.uses({ ...inputs, url }), "is not what factory-secrets does");
  });

  test("a tarball that did not come whole is not run", async () => {
    offer("factory-secrets-cli-0.1.0.tgz", "0".repeat(64), "half of it");
    await expectRefusal(runner.uses({ ...inputs, url }), "did not come whole");
  });

  test("a tarball as long as a disk is not read", async () => {
    answers["/cli/index.json"] = { status: 200, body: " ".repeat(65 * 1024) };
    await expectRefusal(runner.uses({ ...inputs, url }), "far too long");
  });
});

describe("the end of the job", () => {
  beforeEach(async () => {
    runner = await openGitHubRunner(() => factory.idToken());
  });

  test("removes the folder although the command line is damaged", async () => {
    const before = runner.machine.files();
    const step = runner.uses(inputs);
    await step.main();
    writeFileSync(join(step.state.home ?? "", "package", "bin", "factory-secrets.mjs"), "throw 1;\n");
    expect(await step.post()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(runner.machine.files()).toEqual(before);
  });

  test("says that tokens may be left when it cannot log out of a folder that was named", async () => {
    const folder = join(runner.machine.home, ".docker");
    const step = runner.uses({ ...inputs, "docker-config": folder });
    await step.main();
    const text = readFileSync(join(folder, "config.json"), "utf8");
    writeFileSync(join(folder, "config.json"), "{");
    const ended = await step.post();
    expect(ended).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("::Tokens may be left behind") });
    writeFileSync(join(folder, "config.json"), text);
  });

  test("without a beginning is nothing", async () => {
    expect(await runner.uses(inputs).post()).toEqual({ exitCode: 0, stdout: "", stderr: "", log: "\n" });
  });
});
