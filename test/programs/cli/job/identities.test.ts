import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { projectedToken } from "../../../../src/cli/job/find-identity.js";
import { newSigningKey, nowSeconds, type SigningKey, signToken } from "../../../support/oidc-issuer.js";
import { bearerHost, type FactoryForJobs, startFactoryForJobs } from "./factory-for-jobs.js";
import { type JobMachine, openJobMachine } from "./job-machine.js";

const issuer = "https://ci.example.test";
let factory: FactoryForJobs;
let key: SigningKey;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  key = newSigningKey("RS256");
  const rule = {
    name: "the build",
    issuer,
    audience: factory.service.url,
    jwks: JSON.stringify({ keys: [key.jwk] }),
    conditions: [
      { claim: "sub", equals: "project 7" },
      { claim: "project_id", equals: "7" },
    ],
    grants: [{ registry: bearerHost, repositories: ["acme/base"] }],
  };
  const path = `/v1/factories/${factory.factory.name}/trust-rules`;
  const reply = await factory.service.as(factory.service.operatorToken).post(path).send(rule);
  expect(reply.status, reply.text).toBe(201);
});
afterAll(() => factory?.close());

let machine: JobMachine;
beforeEach(async () => {
  machine = await factory.machine("");
});
afterEach(() => machine.close());

function idToken(claims: Record<string, unknown> = {}): string {
  const times = { iat: nowSeconds(), nbf: nowSeconds(), exp: nowSeconds() + 300 };
  const usual = { iss: issuer, aud: factory.service.url, sub: "project 7", project_id: "7" };
  return signToken({ alg: "RS256", kid: key.kid, typ: "JWT" }, { ...usual, ...times, ...claims }, key);
}

const explained = async (environment: Record<string, string>) =>
  machine.run(["ci", "explain", "--output", "json"], { environment });

describe("the job's identity", () => {
  test("is the ID token in FACTORY_SECRETS_ID_TOKEN, as GitLab puts it there", async () => {
    const done = await explained({ FACTORY_SECRETS_ID_TOKEN: idToken() });
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(JSON.parse(done.stdout)).toMatchObject({
      identity: "the ID token in FACTORY_SECRETS_ID_TOKEN",
      tokens: [{ registry: bearerHost, repositories: ["acme/base"] }],
    });
  });

  test("is in a file where one is named, line end and all", async () => {
    const path = join(machine.home, "token");
    writeFileSync(path, `${(await factory.openJob()).token}\n`);
    const done = await explained({ FACTORY_SECRETS_TOKEN_FILE: path });
    expect(JSON.parse(done.stdout)).toMatchObject({ identity: "the job token in FACTORY_SECRETS_TOKEN" });
  });

  test("is the token that a person set, before what the CI system sets", async () => {
    const { token } = await factory.openJob();
    const done = await explained({ FACTORY_SECRETS_TOKEN: token, FACTORY_SECRETS_ID_TOKEN: idToken() });
    expect(JSON.parse(done.stdout)).toMatchObject({ identity: "the job token in FACTORY_SECRETS_TOKEN" });
  });

  test("is what Buildkite's agent gives, asked for the service's audience", async () => {
    const folder = join(machine.home, "bin");
    mkdirSync(folder);
    const agent = join(folder, "buildkite-agent");
    writeFileSync(
      agent,
      `#!/bin/sh\n[ "$*" = "oidc request-token --audience ${factory.service.url}" ] || exit 3\necho '${idToken()}'\n`,
    );
    chmodSync(agent, 0o755);
    const buildkite = { BUILDKITE_AGENT_ACCESS_TOKEN: "not-a-real-secret-agent" };
    const done = await explained({ ...buildkite, PATH: `${folder}:${machine.environment.PATH}` });
    expect(JSON.parse(done.stdout)).toMatchObject({
      identity: "the ID token of this Buildkite job",
      tokens: [{ registry: bearerHost }],
    });
    const missing = await explained({ ...buildkite, PATH: join(process.execPath, "..") });
    expect(missing).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("is not in PATH. Add its folder") });
    const refused = await explained({
      ...buildkite,
      PATH: `${folder}:${machine.environment.PATH}`,
      FACTORY_SECRETS_AUDIENCE: "somebody else",
    });
    expect(refused).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("gave no ID token for this job") });
  });

  test("is the token that the kubelet projects, as it is when it is presented", async () => {
    const path = join(machine.home, "projected");
    const source = projectedToken(path);
    const settings = { audience: factory.service.url, authorities: undefined };
    expect(source.find({ environment: {}, settings })).toBeUndefined();
    writeFileSync(path, idToken());
    const identity = source.find({ environment: {}, settings });
    const next = idToken({ jti: "next" });
    writeFileSync(path, `${next}\n`);
    expect(await identity?.present(1_000)).toBe(next);
    // A folder can be read by nobody as a file, not even by root.
    expect(() => projectedToken(machine.home).find({ environment: {}, settings })).toThrow(
      "exists and this user cannot read it",
    );
  });

  test("when there is none, the sentence lists what to set", async () => {
    const done = await machine.run(["ci", "login"]);
    expect(done).toMatchObject({ exitCode: 3, stdout: "" });
    expect(done.stderr).toMatch(/^This job has no identity\. Set one of these; the first that is set is used:\n/);
    expect(done.stderr.match(/^ {2}- \S+/gm)).toEqual([
      "  - FACTORY_SECRETS_TOKEN",
      "  - FACTORY_SECRETS_ID_TOKEN",
      "  - ACTIONS_ID_TOKEN_REQUEST_URL:",
      "  - BUILDKITE_AGENT_ACCESS_TOKEN:",
      "  - /var/run/secrets/factory-secrets/token:",
    ]);
  });

  test.each([
    ["a line end inside", "fsj_one\nfsj_two", "contains blanks or other characters that no token has"],
    ["both names", "fsj_one", "FACTORY_SECRETS_TOKEN and FACTORY_SECRETS_TOKEN_FILE are both set. Keep one."],
  ])("with %s is a mistake, and is not quoted", async (what, token, sentence) => {
    const file = what === "both names" ? { FACTORY_SECRETS_TOKEN_FILE: "/dev/null" } : {};
    const done = await machine.run(["ci", "login"], { environment: { FACTORY_SECRETS_TOKEN: token, ...file } });
    expect(done).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(sentence) });
    expect(done.stderr).not.toContain("fsj_");
  });
});

describe("GitHub's ID token", () => {
  let runner: Server;
  let asked: { url: string | undefined; authorization: string | undefined }[];
  let answers: { status: number; body: () => unknown }[];
  let environment: Record<string, string>;
  const good = { status: 200, body: () => ({ value: idToken() }) };

  beforeEach(async () => {
    asked = [];
    answers = [];
    runner = createServer((request, response) => {
      asked.push({ url: request.url, authorization: request.headers.authorization });
      const { status, body } = answers.shift() ?? good;
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body()));
    });
    await new Promise<void>((resolve) => runner.listen(0, "127.0.0.1", resolve));
    const address = runner.address();
    const port = typeof address === "object" && address ? address.port : 0;
    environment = {
      GITHUB_ACTIONS: "true",
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "not-a-real-secret-runner",
    };
  });
  afterEach(() => new Promise<void>((resolve) => void runner.close(() => resolve())));

  test("is asked for with the service's URL as its audience", async () => {
    const done = await machine.run(["ci", "login"], { environment });
    expect(done).toMatchObject({ exitCode: 0 });
    const query = `api-version=2.0&audience=${encodeURIComponent(factory.service.url)}`;
    expect(asked).toEqual([{ url: `/token?${query}`, authorization: "Bearer not-a-real-secret-runner" }]);
    expect(machine.readConfig()).toMatchObject({ auths: { [bearerHost]: {} } });
  });

  test("is asked for again when GitHub is busy", async () => {
    answers.push({ status: 503, body: () => ({}) });
    const done = await machine.run(["ci", "login"], { environment });
    expect(done).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining("GitHub gave no ID token for this job"),
    });
    expect(asked).toHaveLength(2);
  });

  test("that is refused ends in a sentence with the permission to add", async () => {
    answers.push({ status: 403, body: () => ({ message: "nope" }) });
    const done = await machine.run(["ci", "login"], { environment });
    expect(done).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("permissions: id-token: write") });
  });

  test("that no rule lets in ends in a sentence that says whom to ask", async () => {
    answers.push({ status: 200, body: () => ({ value: idToken({ project_id: "8" }) }) });
    const done = await machine.run(["ci", "login"], { environment });
    expect(done).toMatchObject({ exitCode: 4, stdout: "" });
    expect(done.stderr).toContain("does not accept the ID token of this GitHub Actions job. No trust rule");
    expect(done.stderr).toContain("trust-rules:explain");
  });

  test("that has expired ends in a sentence that says when", async () => {
    const expired = { iat: nowSeconds() - 900, nbf: nowSeconds() - 900, exp: nowSeconds() - 600 };
    const done = await machine.run(["ci", "login"], { environment: { FACTORY_SECRETS_ID_TOKEN: idToken(expired) } });
    expect(done).toMatchObject({ exitCode: 4 });
    expect(done.stderr).toMatch(/It expired at \d{4}-\S+Z\. Request the ID token from the CI system/);
  });
});

describe("an operator's token in a job", () => {
  const said = async (token: string): Promise<string> => {
    const machine = openJobMachine({
      FACTORY_SECRETS_URL: "http://127.0.0.1:9",
      FACTORY_SECRETS_FACTORY: "acme",
      FACTORY_SECRETS_TOKEN: token,
    });
    try {
      return (await machine.run(["ci", "token", "--registry", "ghcr.io", "--timeout", "1"])).stderr;
    } finally {
      machine.close();
    }
  };

  test("is warned of, with the command that makes a token for the job", async () => {
    const warning = await said(`fso_${"a".repeat(49)}`);
    expect(warning).toContain("factory-secrets jobs open nightly --factory acme");
    expect(await said(`fsj_${"a".repeat(49)}`)).not.toContain("operator");
  });
});
