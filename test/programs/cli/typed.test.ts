import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command } from "commander";
import { afterAll, describe, expect, test } from "vitest";
import { timeOf } from "../../../src/cli/client/read-time.js";
import { withOptionsLast } from "../../../src/cli/client/run-commands.js";
import { newSigningKey, nowSeconds, signToken } from "../../support/oidc-issuer.js";
import { openJobMachine } from "./job/job-machine.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

describe("options in front of the command", () => {
  const program = new Command("x").addCommand(new Command("secrets").addCommand(new Command("list")));
  program.addCommand(new Command("ci").addCommand(new Command("exec")));
  test.each([
    [
      ["--factory", "acme", "secrets", "list"],
      ["secrets", "list", "--factory", "acme"],
    ],
    [
      ["--url=http://x", "secrets", "-o", "json", "list", "a"],
      ["secrets", "list", "--url=http://x", "-o", "json", "a"],
    ],
    [
      ["--timeout", "5", "ci", "exec", "--", "x", "--url", "y"],
      ["ci", "exec", "--timeout", "5", "--", "x", "--url", "y"],
    ],
    [["--version"], ["--version"]],
    [
      ["secrets", "list", "--url", "x"],
      ["secrets", "list", "--url", "x"],
    ],
  ])("%j is read as %j", (given, expected) => {
    expect(withOptionsLast(program, given)).toEqual(expected);
  });
});

test.each([
  ["90d", "past", "2026-01-01T00:00:00.000Z"],
  ["12h", "future", "2026-04-01T12:00:00.000Z"],
  ["2026-02-03", "past", "2026-02-03T00:00:00.000Z"],
  ["2026-02-03T04:05:06+01:00", "past", "2026-02-03T03:05:06.000Z"],
  ["yesterday", "past", undefined],
  ["5", "past", undefined],
] as const)("the time %s in the %s is %s", (text, direction, expected) => {
  expect(timeOf(text, direction, new Date("2026-04-01T00:00:00Z"))?.toISOString()).toBe(expected);
});

describe("an old Node", () => {
  test.each([
    "bin/factory-secrets.mjs",
    "bin/docker-credential-factory-secrets.mjs",
    "scripts/start.mjs",
    "scripts/build.mjs",
  ])("is told so by %s, in one sentence", async (file) => {
    const code = `Object.defineProperty(process.versions, "node", { value: "18.20.1" }); import("./${file}")`;
    const failure = await promisify(execFile)(process.execPath, ["-e", code], { cwd: root }).catch((error) => error);
    expect(failure).toMatchObject({ code: 1, stdout: "" });
    expect(failure.stderr).toMatch(/^factory-secrets needs Node 20\.19 or later, and this is 18\.20\.1 .*\n$/);
  });
});

describe("a command of a job", () => {
  const payload = {
    ...{ iss: "https://ci.example.test", aud: "x", sub: "repo:acme/app", ref: "refs/heads/main" },
    ...{ repository_id: "7", user_email: "someone@example.com", iat: nowSeconds() - 600, exp: nowSeconds() - 300 },
  };
  const token = signToken({ alg: "RS256" }, payload, newSigningKey("RS256"));
  let tries = 0;
  let reply = { status: 401, body: { code: "unauthenticated", detail: "No." } as object };
  const server = createServer((_, response) => {
    tries += 1;
    response.writeHead(reply.status, { "content-type": "application/json" }).end(JSON.stringify(reply.body));
  });
  const listening = new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve(Object(server.address() satisfies string | AddressInfo | null).port)),
  );
  afterAll(() => server.close());

  async function run(protocol: string, ...args: string[]) {
    const machine = openJobMachine({
      FACTORY_SECRETS_URL: `${protocol}://127.0.0.1:${await listening}`,
      FACTORY_SECRETS_FACTORY: "acme",
      FACTORY_SECRETS_ID_TOKEN: token,
    });
    tries = 0;
    return machine.run(args).finally(() => machine.close());
  }

  test("explain prints the claims of the token, but none of a person, and its times by the service's clock", async () => {
    const done = await run("http", "ci", "explain");
    expect(done.stdout).toMatch(
      /Clock of the service: .*\nIssued: .* ago\nExpires: .* s ago \(the token is refused for this\)/,
    );
    expect(JSON.parse(done.stdout.slice(done.stdout.indexOf("\n{")))).toMatchObject({
      ...{ iss: "https://ci.example.test", sub: "repo:acme/app", ref: "refs/heads/main", repository_id: "7" },
    });
    expect(done.stdout).not.toContain("someone@");
    expect(done.stdout).not.toContain(token);
  });

  test("names https to a port that does not speak TLS, and does not try again", async () => {
    const done = await run("https", "ci", "login", "--timeout", "30");
    expect(done).toMatchObject({ exitCode: 6, stderr: expect.stringContaining("does not speak TLS") });
  });

  test("does not try again what the registries refuse for good", async () => {
    const failures = [{ registry: "ghcr.io", code: "upstream-refused", message: "No." }];
    reply = { status: 502, body: { code: "tokens-unavailable", detail: "No.", failures } };
    expect((await run("http", "ci", "login", "--timeout", "30")).exitCode).not.toBe(0);
    expect(tries).toBe(1);
  });
});
