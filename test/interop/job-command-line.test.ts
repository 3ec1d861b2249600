import { mkdirSync, symlinkSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type JobMachine, openJobMachine } from "../cli/ci/job-machine.js";
import { type ProgramResult, runProgram } from "../support/programs/run-to-end.js";
import { type PrivateRegistry, startPrivateRegistry } from "../support/registry/private-registry.js";
import { type BrokerUnderTest, startBrokerFor } from "./broker-under-test.js";

const dockerRegistry = process.env.FACTORY_SECRETS_TEST_DOCKER_REGISTRY;
const skopeo = process.env.FACTORY_SECRETS_TEST_SKOPEO;
const isMissing = dockerRegistry === undefined || skopeo === undefined;
const reason = isMissing
  ? " (skipped: FACTORY_SECRETS_TEST_DOCKER_REGISTRY and FACTORY_SECRETS_TEST_SKOPEO do not name the programs)"
  : "";
const programs = { dockerRegistry: dockerRegistry ?? "", skopeo: skopeo ?? "" };
const docker = process.env.FACTORY_SECRETS_TEST_DOCKER;
const noDocker = docker === undefined ? " (skipped: FACTORY_SECRETS_TEST_DOCKER does not name docker)" : "";
const publisher = { user: "publisher", password: "not-a-real-secret-1" };
const login = "robot:not-a-real-secret-2";
const bin = fileURLToPath(new URL("../../bin", import.meta.url));

/** A job's machine with our helper in PATH, as an installed package puts it there. */
function openMachine(registry: PrivateRegistry, broker: BrokerUnderTest): JobMachine {
  const machine = openJobMachine({ ...broker.jobEnvironment, ...registry.clientEnvironment });
  const folder = join(machine.home, "bin");
  mkdirSync(folder);
  for (const name of ["factory-secrets", "docker-credential-factory-secrets"])
    symlinkSync(join(bin, `${name}.mjs`), join(folder, name));
  machine.environment.PATH = [folder, dirname(process.execPath), process.env.PATH].join(delimiter);
  return machine;
}

describe.skipIf(isMissing)(`an unmodified skopeo in a job${reason}`, () => {
  let registry: PrivateRegistry;
  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "registry.jobs.test",
      programs,
      auth: {
        kind: "token",
        users: {
          publisher: { password: publisher.password, rights: { "*": ["pull", "push"] } },
          robot: { password: "not-a-real-secret-2", rights: { "acme/base": ["pull"] } },
        },
      },
    });
    expect(await registry.push("acme/base", publisher)).toMatchObject({ exitCode: 0 });
  }, 60_000);
  afterAll(() => registry?.close());

  let broker: BrokerUnderTest;
  let machine: JobMachine;
  afterEach(async () => {
    machine?.close();
    await broker?.close();
  });

  const inspect = (...args: string[]): Promise<ProgramResult> =>
    runProgram(programs.skopeo, ["inspect", ...args, `docker://${registry.host}/acme/base:1`], machine.environment);

  describe("where the registry's password is handed out", () => {
    beforeEach(async () => {
      broker = await startBrokerFor(registry, { login, passThrough: true });
      machine = openMachine(registry, broker);
    });

    test("pulls through the credential helper, and reads why not once the job has ended", async () => {
      expect((await inspect()).stderr).toMatch(/unauthorized|authentication required/);
      expect(await machine.run(["configure-docker"])).toMatchObject({ exitCode: 0, stdout: `${registry.host}\n` });
      expect(await inspect()).toMatchObject({ exitCode: 0, stderr: "" });
      await broker.endJob();
      await machine.helper("erase", registry.host);
      const refused = await inspect();
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stderr).toContain("has ended or expired");
    });

    test("pulls after ci login, and no more after ci logout", async () => {
      expect(await machine.run(["ci", "login"])).toMatchObject({ exitCode: 0 });
      expect(await inspect()).toMatchObject({ exitCode: 0, stderr: "" });
      await machine.run(["ci", "logout"]);
      expect((await inspect()).exitCode).not.toBe(0);
    });

    test("pulls inside ci exec", async () => {
      const command = [programs.skopeo, "inspect", `docker://${registry.host}/acme/base:1`];
      expect(await machine.run(["ci", "exec", "--", ...command])).toMatchObject({ exitCode: 0, stderr: "" });
      expect((await inspect()).exitCode).not.toBe(0);
    });
  });

  describe.skipIf(docker === undefined)(`an unmodified docker${noDocker}`, () => {
    const manifest = () =>
      runProgram(docker ?? "", ["manifest", "inspect", `${registry.host}/acme/base:1`], machine.environment);

    test("asks the credential helper, and shows why not once the job has ended", async () => {
      broker = await startBrokerFor(registry, { login, passThrough: true });
      machine = openMachine(registry, broker);
      expect((await manifest()).exitCode).not.toBe(0);
      await machine.run(["configure-docker"]);
      expect(await manifest()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("sha256:") });
      await broker.endJob();
      await machine.helper("erase", registry.host);
      const refused = await manifest();
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stderr).toContain("has ended or expired");
    });

    test("reads a bearer from what ci login wrote", async () => {
      broker = await startBrokerFor(registry, { login, passThrough: false });
      machine = openMachine(registry, broker);
      expect((await manifest()).exitCode).not.toBe(0);
      await machine.run(["ci", "login", "--registry", registry.host, "--repository", "acme/base"]);
      expect(await manifest()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("sha256:") });
    });
  });

  describe("where the registry gives a bearer", () => {
    beforeEach(async () => {
      broker = await startBrokerFor(registry, { login, passThrough: false });
      machine = openMachine(registry, broker);
    });

    test("pulls with the token that ci token prints", async () => {
      const args = ["ci", "token", "--registry", registry.host, "--repository", "acme/base"];
      const { stdout } = await machine.run(args);
      expect(await inspect("--registry-token", stdout.trim())).toMatchObject({ exitCode: 0, stderr: "" });
    });
  });
});
