import { createServer } from "node:http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { listenOnLoopback, whileAnswering } from "../../support/cli/stand-in-service.js";
import type { JobMachine } from "../cli/job/job-machine.js";
import { type AzureRegistry, startAzureRegistry } from "./azure-registry.js";
import {
  copyImage,
  isMissing,
  openRegistryMachine,
  podman,
  pullImage,
  whyMissing,
  withoutPodman,
} from "./registry-programs.js";

type Job = { id: string; token: string };

describe.skipIf(isMissing)(
  `skopeo with our credential helper, a registry of short-lived passwords${whyMissing}`,
  () => {
    let azure: AzureRegistry;
    beforeAll(async () => {
      azure = await startAzureRegistry();
    });
    afterAll(() => azure?.close());

    let job: Job;
    let machines: JobMachine[] = [];
    beforeEach(async () => {
      job = await azure.broker.openJob();
    });
    afterEach(() => {
      for (const machine of machines) machine.close();
      machines = [];
    });

    /** The machine of a job with this token, where docker's configuration names the helper. */
    function machineOf(token: string, environment: Record<string, string> = {}): JobMachine {
      const { broker, registry } = azure;
      const machine = openRegistryMachine(registry, {
        FACTORY_SECRETS_URL: broker.service.url,
        FACTORY_SECRETS_FACTORY: broker.factory.name,
        FACTORY_SECRETS_TOKEN: token,
        ...environment,
      });
      machine.writeConfig({ credHelpers: { [registry.host]: "factory-secrets" } });
      machines.push(machine);
      return machine;
    }

    const copy = (machine: JobMachine, repository = "acme/base") => copyImage(machine, azure.registry, repository);

    test("pulls, of what the factory may pull", async () => {
      const machine = machineOf(job.token);
      expect(await copy(machine)).toMatchObject({ exitCode: 0, stderr: "" });
      const other = await copy(machine, "acme/secret");
      expect(other).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("access to the resource is denied") });
    });

    test.skipIf(podman === undefined)(`podman pulls and is refused as skopeo is${withoutPodman}`, async () => {
      const machine = machineOf(job.token);
      const pulled = await pullImage(machine, azure.registry, "acme/base");
      expect(pulled, pulled.stderr).toMatchObject({ exitCode: 0 });
      const other = await pullImage(machine, azure.registry, "acme/secret");
      expect(other).toMatchObject({
        exitCode: 125,
        stderr: expect.stringContaining("access to the resource is denied"),
      });
      const refused = await pullImage(machineOf(await ended()), azure.registry, "acme/base");
      expect(refused).toMatchObject({ exitCode: 125, stderr: expect.stringMatching(/has ended or expired/) });
    });

    test("reads the registry's own words of a password that has expired, and pulls with the next", async () => {
      const machine = machineOf(job.token);
      await machine.helper("get", azure.registry.host);
      const fourHours = 4 * 3_600;
      azure.broker.clouds.clock.advance(fourHours);
      const expired = await copy(machine);
      expect(expired).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("incorrect username or password") });
      azure.broker.clouds.clock.advance(-fourHours);
      expect(await copy(machine)).toMatchObject({ exitCode: 0, stderr: "" });
    });

    const refused: [what: string, token: () => Promise<string>, sentence: RegExp][] = [
      ["a job of another factory", anotherFactorys, /There is no factory "\S+" for the job token/],
      ["a job that has ended", ended, /has ended or expired/],
      ["a job that has expired", expired, /has ended or expired/],
      ["a job for another registry", async () => narrow({ registry: "ghcr.io" }), /This job was opened for less/],
      [
        "a job for repositories, where Azure's password is for all",
        async () => narrow({ registry: azure.registry.host, repositories: ["acme/base"] }),
        /gives a bearer token, and a credential helper can pass only a password/,
      ],
    ];

    async function anotherFactorys(): Promise<string> {
      const { service } = azure.broker;
      return (await service.openJob((await service.createFactory()).name)).token;
    }

    async function ended(): Promise<string> {
      const { service, factory } = azure.broker;
      const operator = service.as(service.operatorToken);
      await operator.delete(`/v1/factories/${factory.name}/jobs/${job.id}`).expect(204);
      return job.token;
    }

    async function expired(): Promise<string> {
      const { service, factory } = azure.broker;
      const { pool } = service.database;
      await pool.query("UPDATE credentials SET expires_at = now() WHERE id = $1", [job.id]);
      await pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [factory.id]);
      return job.token;
    }

    const narrow = async (grant: object): Promise<string> => (await azure.broker.openJob({ grants: [grant] })).token;

    test.each(refused)("prints our sentence: %s", async (_, token, sentence) => {
      const done = await copy(machineOf(await token()));
      expect(done).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(sentence) });
    });

    test("prints our sentence when the service is down, or slow for longer than the helper waits", async () => {
      const { port, close } = await listenOnLoopback(createServer());
      await close();
      const at = (url: string) => copy(machineOf(job.token, { FACTORY_SECRETS_URL: url }));
      const [down, slow] = await Promise.all([at(`http://127.0.0.1:${port}`), whileAnswering(() => undefined, at)]);
      const nothing = `Nothing listens at http://127.0.0.1:${port}: the connection was refused. Gave up after 20 s.\n`;
      expect(down).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(nothing) });
      expect(slow).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("did not answer within") });
    });
  },
);
