import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { whileAnswering } from "../../../support/cli/stand-in-service.js";
import { type FactoryForJobs, passwordHost, startFactoryForJobs } from "./factory-for-jobs.js";
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

test("shows the service and the identity, what may be pulled, and why the rest may not", async () => {
  const whole = await factory.machine();
  const done = await whole.run(["ci", "explain"]);
  expect(done).toMatchObject({ exitCode: 5, stderr: "" });
  expect(done.stdout).toContain(
    `Factory:  ${factory.factory.name}\nIdentity: the job token in FACTORY_SECRETS_TOKEN\n`,
  );
  expect(done.stdout).toMatch(/May be pulled from:\nREGISTRY.*\nexample\.azurecr\.io +password +all +none /);
  expect(done.stdout).toMatch(/Refused: ghcr\.io\n {2}.*\n {2}\(repositories-required\)\n/);
  expect(whole.files()).toEqual([]);
  whole.close();
});

test("ends as a login does while the cloud is down: another try may go better", async () => {
  const failures = [{ registry: "ghcr.io", code: "upstream-unreachable", message: "It refuses connections." }];
  const done = await whileAnswering(
    (_, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ tokens: [], failures })),
    (url) => machine.run(["ci", "explain", "--url", url]),
  );
  expect(done).toMatchObject({
    exitCode: 6,
    stdout: expect.stringContaining("Refused: ghcr.io\n  It refuses connections."),
  });
});

test("tells the stored credential itself, which a passThrough entry hands out, from a token", async () => {
  const login = { kind: "password", username: "ci", password: "not-a-real-secret-raw-11d2", raw: true };
  const times = { expiresAt: "2030-01-01T00:00:00Z", refreshAfter: "2029-12-31T00:00:00Z" };
  const token = { registry: "registry.example.com", scopeEnforcedBy: "none", ...times, ...login };
  const [text, json, printed] = await whileAnswering(
    (_, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ tokens: [token] })),
    async (url) => [
      await machine.run(["ci", "explain", "--url", url]),
      await machine.run(["ci", "explain", "--url", url, "--output", "json"]),
      await machine.run(["ci", "token", "--url", url, "--registry", "registry.example.com", "--format", "json"]),
    ],
  );
  expect(text?.stdout).toMatch(/registry\.example\.com +password +all +none +when changed there\n/);
  expect(JSON.parse(json?.stdout ?? "")).toMatchObject({ tokens: [{ raw: true }] });
  expect(JSON.parse(printed?.stdout ?? "")).toMatchObject({ raw: true });
});

test("gives a program the same, without a credential", async () => {
  const args = ["ci", "explain", "--registry", passwordHost, "--output", "json"];
  const done = await machine.run(args);
  expect(JSON.parse(done.stdout)).toEqual({
    service: factory.service.url,
    factory: factory.factory.name,
    identity: "the job token in FACTORY_SECRETS_TOKEN",
    tokens: [{ registry: passwordHost, kind: "password", scopeEnforcedBy: "none", expiresAt: expect.any(String) }],
    failures: [],
  });
  const yaml = await machine.run([...args.slice(0, -1), "yaml"]);
  expect(yaml.stdout).toMatch(/^service: .*\n(?:.*\n)*tokens:\n {2}- registry: /);
  const refused = await machine.run([...args, "--repository", "other/thing"]);
  expect(refused.exitCode).toBe(5);
  expect(JSON.parse(refused.stdout)).toMatchObject({ tokens: [], failures: [{ registry: passwordHost }] });
  const unknown = await machine.run(args, { environment: { FACTORY_SECRETS_FACTORY: "no-such-factory" } });
  expect(unknown.exitCode).toBe(4);
  expect(JSON.parse(unknown.stdout)).toMatchObject({ tokens: [], problem: { code: "not-found" } });
});
