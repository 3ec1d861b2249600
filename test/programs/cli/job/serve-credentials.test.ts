import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AwsFactory, host, otherHost, startAwsFactory, storedValues } from "../../../support/aws/aws-factory.js";
import { type JobMachine, openJobMachine } from "./job-machine.js";

let factory: AwsFactory;
let machine: JobMachine;
let job: { id: string; token: string };
beforeAll(async () => {
  factory = await startAwsFactory();
});
afterAll(() => factory?.close());
beforeEach(async () => {
  job = await factory.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
  machine = openJobMachine({
    FACTORY_SECRETS_URL: factory.service.url,
    FACTORY_SECRETS_FACTORY: factory.factory.name,
    FACTORY_SECRETS_TOKEN: job.token,
  });
});
afterEach(() => machine.close());

const serve = (script: string, flags: readonly string[] = [], environment: Record<string, string> = {}) =>
  machine.run(["ci", "serve-credentials", ...flags, "--", process.execPath, "-e", script], { environment });

/** Fetches as AWS's programs do, and prints what comes back. */
const fetchAll = `
  const { AWS_CONTAINER_CREDENTIALS_FULL_URI: url, AWS_CONTAINER_AUTHORIZATION_TOKEN: token } = process.env;
  const ask = async (authorization, at = url, method = "GET") => {
    const reply = await fetch(at, { method, headers: authorization === undefined ? {} : { authorization } });
    return { status: reply.status, ...(await reply.json()) };
  };
  const replies = [await ask(token), await ask(token), await ask("guessed"), await ask(undefined),
    await ask(token, url + "x"), await ask(token, url, "POST")];
  console.log(JSON.stringify({ url, replies, environment: process.env }));
`;

describe("ci serve-credentials", () => {
  test("serves narrowed credentials on loopback to whoever knows the token, and to nobody else", async () => {
    const { stdout, exitCode, stderr } = await serve(`(async () => {${fetchAll}})()`);
    expect([exitCode, stderr]).toEqual([0, ""]);
    const { url, replies } = JSON.parse(stdout);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/credentials$/);
    const [first, again, ...refused] = replies;
    expect(first).toEqual({
      status: 200,
      AccessKeyId: expect.stringMatching(/^ASIA/),
      SecretAccessKey: expect.any(String),
      Token: expect.any(String),
      Expiration: expect.stringMatching(/Z$/),
    });
    expect(again).toEqual(first);
    expect(refused.map(({ status }: { status: number }) => status)).toEqual([403, 403, 404, 404]);
    expect(JSON.stringify(refused)).not.toContain(first.SecretAccessKey);
    // The command's end is the server's.
    await expect(fetch(url)).rejects.toThrow();
  });

  test("keeps other credentials from the command, and nothing that is stored is anywhere on the machine", async () => {
    const ambient = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "x", AWS_PROFILE: "mine" };
    const { stdout } = await serve(`(async () => {${fetchAll}})()`, [], ambient);
    const { environment } = JSON.parse(stdout);
    expect(
      Object.keys(environment)
        .filter((name) => name.startsWith("AWS_"))
        .sort(),
    ).toEqual([
      "AWS_CONFIG_FILE",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI",
      "AWS_SHARED_CREDENTIALS_FILE",
    ]);
    for (const value of storedValues) expect(stdout + machine.texts().join("\n")).not.toContain(value);
    expect(machine.files()).toEqual([]);
  });

  test("ends with the exit code of the command", async () => {
    expect(await serve("process.exit(7)")).toMatchObject({ exitCode: 7 });
    expect(await serve("process.kill(process.pid, 'SIGTERM')")).toMatchObject({ exitCode: 143 });
  });

  test("starts nothing when it is refused, and says why", async () => {
    const refused = await serve("console.log('started')", ["--registry", otherHost]);
    expect(refused).toMatchObject({ exitCode: 125, stdout: "" });
    expect(refused.stderr).toContain("This job was opened for less");
    const missing = await machine.run(["ci", "serve-credentials", "--", "no-such-program"]);
    expect(missing).toMatchObject({ exitCode: 125 });
    expect(missing.stderr).toContain("this program is not in PATH");
    const path = `/v1/factories/${factory.factory.name}/jobs/${job.id}`;
    await factory.service.as(factory.service.operatorToken).delete(path).expect(204);
    const ended = await serve("console.log('started')");
    expect(ended).toMatchObject({ exitCode: 125, stdout: "" });
    expect(ended.stderr).toContain("has ended or expired");
  });

  test("has GitHub black them out in the log", async () => {
    const { stdout, stderr } = await serve(`(async () => {${fetchAll}})()`, [], { GITHUB_ACTIONS: "true" });
    const { replies } = JSON.parse(stdout);
    for (const value of [replies[0].SecretAccessKey, replies[0].Token])
      expect(stderr).toContain(`::add-mask::${value}`);
  });
});
