import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestCertificateAuthority } from "../../../support/certificates.js";
import { listenOnLoopback, whileAnswering } from "../../../support/cli/stand-in-service.js";
import { bearerHost, type FactoryForJobs, startFactoryForJobs } from "./factory-for-jobs.js";
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

const login = (args: readonly string[], environment: Record<string, string> = {}) =>
  machine.run(["ci", "login", ...args], { environment });

describe("what a person reads", () => {
  test("of an ended job", async () => {
    const { id, token } = await factory.openJob();
    const path = `/v1/factories/${factory.factory.name}/jobs/${id}`;
    await factory.service.as(factory.service.operatorToken).delete(path).expect(204);
    const done = await login([], { FACTORY_SECRETS_TOKEN: token });
    expect(done).toMatchObject({ exitCode: 4, stdout: "" });
    expect(done.stderr).toMatch(
      /^The service does not accept the job token in FACTORY_SECRETS_TOKEN\. Its job has ended or expired, or the token is not copied whole\. Open a new job: factory-secrets jobs open NAME\n\(unauthenticated, request \S+\)\n$/,
    );
    expect(machine.files()).toEqual([]);
  });

  test.each([
    [`ghp_${"x".repeat(36)}`, "looks like a token of GitHub"],
    ["$CI_JOB_JWT", "is the name of a variable that was not replaced"],
    ["/run/secrets/token", "looks like a path: set FACTORY_SECRETS_TOKEN_FILE"],
    ["x".repeat(40), "does not, and has 40 characters"],
  ])("of what is no token of the service: %s", async (token, sentence) => {
    const done = await login([], { FACTORY_SECRETS_TOKEN: token });
    expect(done).toMatchObject({ exitCode: 4, stdout: "" });
    expect(done.stderr).toContain("A job token begins with fsj_");
    expect(done.stderr).toContain(sentence);
    expect(done.stderr).not.toContain(token);
  });

  test("of a job of another factory, and of a factory that does not exist", async () => {
    const other = await factory.service.createFactory();
    for (const name of [other.name, "no-such-factory"]) {
      const done = await login(["--factory", name]);
      expect(done).toMatchObject({ exitCode: 4 });
      expect(done.stderr).toContain(`There is no factory "${name}" for the job token in FACTORY_SECRETS_TOKEN`);
    }
  });

  test("of a repository beyond the job's grants", async () => {
    const done = await login(["--registry", bearerHost, "--repository", "acme/app"]);
    expect(done).toMatchObject({ exitCode: 5 });
    expect(done.stderr).toContain("This job was opened for less. It may ask for: ");
    expect(done.stderr).toContain("(outside-grants, request ");
  });

  test("of a registry that the factory does not have", async () => {
    const { token } = await factory.openJob();
    const done = await login(["--registry", "quay.io"], { FACTORY_SECRETS_TOKEN: token });
    expect(done).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("no entry for this registry") });
  });

  test("of a registry that needs repositories: the way on this command line", async () => {
    const { token } = await factory.openJob();
    const done = await login(["--registry", bearerHost], { FACTORY_SECRETS_TOKEN: token });
    expect(done).toMatchObject({ exitCode: 5 });
    expect(done.stderr).toContain("On this command line: --registry HOST --repository NAME.\n(repositories-required");
  });

  test.each([
    [["--repository", "acme/base"], "--repository needs exactly one --registry"],
    [["--registry", bearerHost, "--repository", "Acme/Base"], "(invalid-request"],
    [["--timeout", "0"], "--timeout takes a whole number of seconds"],
    [["--url", "secrets.example.com"], "must be an http:// or https:// URL"],
    [["--ca-file", "/no/such/file"], "--ca-file names a file that cannot be read: /no/such/file"],
    [["--no-such-option"], "unknown option '--no-such-option'"],
  ])("of the wrong usage %j", async (args, sentence) => {
    expect(await login(args)).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining(sentence) });
  });

  test("of settings that are missing", async () => {
    const url = await login([], { FACTORY_SECRETS_URL: "" });
    expect(url).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/^The URL of the service is not set\. Set /),
    });
    const name = await login([], { FACTORY_SECRETS_FACTORY: "" });
    expect(name).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^No factory is named\. Set /) });
  });
});

describe("a service", () => {
  test("that is down is asked again until the timeout", async () => {
    const { port, close } = await listenOnLoopback(createServer());
    await close();
    const done = await login(["--timeout", "2"], { FACTORY_SECRETS_URL: `http://127.0.0.1:${port}` });
    expect(done).toMatchObject({ exitCode: 6 });
    expect(done.stderr).toBe(
      `Nothing listens at http://127.0.0.1:${port}: the connection was refused. Trying again for up to 2 s ...\n` +
        `Nothing listens at http://127.0.0.1:${port}: the connection was refused. Gave up after 2 s (--timeout).\n`,
    );
  });

  test("that is slow is not waited for for ever", async () => {
    const done = await whileAnswering(
      () => undefined,
      (url) => login(["--timeout", "1", "--url", url]),
    );
    expect(done).toMatchObject({ exitCode: 6, stderr: expect.stringMatching(/did not answer within 1 s\./) });
  });

  test("that breaks off in the middle is asked again", async () => {
    let tries = 0;
    const done = await whileAnswering(
      (_, response) => {
        tries += 1;
        response.writeHead(200, { "content-type": "application/json", "content-length": "1000" }).write("{");
        response.destroy();
      },
      (url) => login(["--timeout", "3", "--url", url]),
    );
    expect(done).toMatchObject({ exitCode: 6, stderr: expect.stringContaining("broke") });
    expect(tries).toBeGreaterThan(1);
  });

  test("that is busy is asked again when it says, and then all is well", async () => {
    const at: number[] = [];
    const detail = "Too many requests. Wait a second.";
    const done = await whileAnswering(
      (request, response) => {
        at.push(Date.now());
        if (at.length === 1) {
          response.writeHead(429, { "content-type": "application/problem+json", "retry-after": "1" });
          response.end(JSON.stringify({ code: "too-many-requests", detail }));
        } else {
          const target = `${factory.service.url}${request.url}`;
          response.writeHead(307, { location: target }).end();
        }
      },
      (url) => login(["--timeout", "10", "--url", url]),
    );
    expect(done.stderr).toContain(`${detail} Trying again for up to 10 s ...`);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(1_000);
    // Elsewhere is somebody else: the token does not follow.
    expect(done).toMatchObject({
      exitCode: 6,
      stderr: expect.stringContaining("answered 307, but not as factory-secrets"),
    });
  });

  test.each([409, 429, 503])("that answers %i with Retry-After is asked again then", async (status) => {
    const at: number[] = [];
    await whileAnswering(
      (_, response) => {
        at.push(performance.now());
        const headers = at.length === 1 ? { "retry-after": "1" } : {};
        response.writeHead(at.length === 1 ? status : 422, { "content-type": "application/problem+json", ...headers });
        response.end(JSON.stringify({ code: "conflict", detail: "The factory keeps changing. Ask again." }));
      },
      (url) => login(["--timeout", "10", "--url", url]),
    );
    expect(at).toHaveLength(2);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(999);
  });

  test("that asks for more time than there is ends the wait at once", async () => {
    let tries = 0;
    const done = await whileAnswering(
      (_, response) => {
        tries += 1;
        response.writeHead(429, { "content-type": "application/problem+json", "retry-after": "3600" });
        response.end(JSON.stringify({ code: "too-many-requests", detail: "Too many requests." }));
      },
      // Far longer than this test may take.
      (url) => login(["--timeout", "600", "--url", url]),
    );
    expect(done).toMatchObject({
      exitCode: 6,
      stderr: expect.stringContaining("Too many requests.\n(too-many-requests)"),
    });
    expect(tries).toBe(1);
  });

  test("is not asked again about a credential that the cloud refuses", async () => {
    let tries = 0;
    const done = await whileAnswering(
      (_, response) => {
        tries += 1;
        response.writeHead(502, { "content-type": "application/problem+json" });
        const detail = "Azure refused\n::the secret.";
        response.end(JSON.stringify({ code: "upstream-refused", detail }));
      },
      (url) => login(["--url", url]),
    );
    expect(done).toMatchObject({ exitCode: 5, stderr: "Azure refused ::the secret.\n(upstream-refused)\n" });
    expect(tries).toBe(1);
  });

  test("that is not factory-secrets is recognised, and its page is not shown", async () => {
    const done = await whileAnswering(
      (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>Welcome</html>"),
      (url) => login(["--url", url]),
    );
    expect(done).toMatchObject({ exitCode: 6, stderr: expect.stringContaining("Check FACTORY_SECRETS_URL or --url.") });
    expect(done.stderr).not.toContain("Welcome");
  });

  test("behind a private authority needs FACTORY_SECRETS_CA_FILE, or NODE_EXTRA_CA_CERTS, and takes either", async () => {
    const authority = await createTestCertificateAuthority();
    const { cert, key } = await authority.issue(["127.0.0.1"]);
    const problem = JSON.stringify({ code: "registry-unknown", detail: "Reached." });
    const { port, close } = await listenOnLoopback(
      createTlsServer({ cert, key }, (_, response) => response.writeHead(422).end(problem)),
    );
    const url = `https://127.0.0.1:${port}`;
    const caFile = join(machine.home, "ca.pem");
    writeFileSync(caFile, authority.caPem);
    const refused = await login(["--url", url]);
    expect(refused).toMatchObject({ exitCode: 6 });
    expect(refused.stderr).toContain("that this machine does not trust");
    expect(refused.stderr).toContain("Set FACTORY_SECRETS_CA_FILE");
    const reached = { exitCode: 5, stderr: expect.stringContaining("Reached.") };
    expect(await login(["--url", url, "--ca-file", caFile])).toMatchObject(reached);
    expect(await login(["--url", url], { FACTORY_SECRETS_CA_FILE: caFile })).toMatchObject(reached);
    expect(await login(["--url", url], { NODE_EXTRA_CA_CERTS: caFile })).toMatchObject(reached);
    await close();
  });
});

test.each(
  [
    ["ci"],
    ["ci", "login"],
    ["ci", "logout"],
    ["ci", "exec"],
    ["ci", "token"],
    ["ci", "explain"],
    ["configure-docker"],
  ].map((command) => [command.join(" "), command] as const),
)("%s --help has an example", async (_, command) => {
  const done = await machine.run([...command, "--help"]);
  expect(done).toMatchObject({ exitCode: 0, stderr: "" });
  expect(done.stdout).toMatch(/\nExample:\n {2}.*factory-secrets|\nExample:\n {2}export/);
});
