import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";
import { type PrivateRegistry, startPrivateRegistry } from "../../support/registry/private-registry.js";
import { judgeByUsers } from "../../support/registry/registry-realm.js";
import type { JobMachine } from "../cli/job/job-machine.js";
import { type BrokerUnderTest, startBrokerFor } from "./broker-under-test.js";
import {
  docker,
  inspectManifest,
  isMissing,
  openRegistryMachine,
  programs,
  whyMissing,
  withoutDocker,
} from "./registry-programs.js";

const publisher = { user: "publisher", password: "not-a-real-secret-1" };
const login = "robot:not-a-real-secret-2";

describe.skipIf(isMissing)(`an unmodified skopeo in a job${whyMissing}`, () => {
  let registry: PrivateRegistry;
  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "registry.jobs.test",
      programs,
      auth: {
        kind: "token",
        judge: judgeByUsers({
          publisher: { password: publisher.password, rights: { "*": ["pull", "push"] } },
          robot: { password: "not-a-real-secret-2", rights: { "acme/base": ["pull"] } },
        }),
      },
    });
    expect(await registry.push("acme/base", publisher)).toMatchObject({ exitCode: 0 });
  });
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
      machine = openRegistryMachine(registry, broker.jobEnvironment);
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

  describe.skipIf(docker === undefined)(`an unmodified docker${withoutDocker}`, () => {
    const manifest = () => inspectManifest(machine, registry, "acme/base");

    test("asks the credential helper, and shows why not once the job has ended", async () => {
      broker = await startBrokerFor(registry, { login, passThrough: true });
      machine = openRegistryMachine(registry, broker.jobEnvironment);
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
      machine = openRegistryMachine(registry, broker.jobEnvironment);
      expect((await manifest()).exitCode).not.toBe(0);
      await machine.run(["ci", "login", "--registry", registry.host, "--repository", "acme/base"]);
      expect(await manifest()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("sha256:") });
    });
  });

  describe("where the registry gives a bearer", () => {
    beforeEach(async () => {
      broker = await startBrokerFor(registry, { login, passThrough: false });
      machine = openRegistryMachine(registry, broker.jobEnvironment);
    });

    const tokenFor = (repository: string) =>
      machine.run(["ci", "token", "--registry", registry.host, "--repository", repository]);

    test("pulls with the token that ci token prints", async () => {
      const { stdout } = await tokenFor("acme/base");
      expect(await inspect("--registry-token", stdout.trim())).toMatchObject({ exitCode: 0, stderr: "" });
    });

    test("reads the registry's own words of a token that has expired", async () => {
      const { stdout } = await tokenFor("acme/base");
      const expired = await inspect("--registry-token", registry.expired(stdout.trim()));
      expect(expired).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("unauthorized") });
    });

    test("gets none from ci token, and reads why: a repository beyond the stored login, an ended job, another factory's", async () => {
      const beyond = await tokenFor("acme/secret");
      machine.environment.FACTORY_SECRETS_TOKEN = await broker.tokenOfAnotherFactory();
      const foreign = await tokenFor("acme/base");
      machine.environment.FACTORY_SECRETS_TOKEN = broker.jobEnvironment.FACTORY_SECRETS_TOKEN ?? "";
      await broker.endJob();
      const ended = await tokenFor("acme/base");
      expect(beyond).toMatchObject({
        exitCode: 5,
        stdout: "",
        stderr: expect.stringContaining("did not grant the pull of acme/secret"),
      });
      expect(foreign).toMatchObject({
        exitCode: 4,
        stdout: "",
        stderr: expect.stringContaining("There is no factory"),
      });
      expect(ended).toMatchObject({ exitCode: 4, stdout: "", stderr: expect.stringContaining("has ended or expired") });
    });
  });
});
