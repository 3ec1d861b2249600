import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type AwsFactory, host, startAwsFactory, storedValues } from "../../support/aws/aws-factory.js";
import { makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register } from "../../support/devices/device-service.js";
import { formIn, watched } from "../../support/leak-watch.js";
import { startPrivateRegistry } from "../../support/registry/private-registry.js";
import { judgeByUsers } from "../../support/registry/registry-realm.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { environmentOf } from "./aws-jobs.js";
import { type AzureRegistry, startAzureRegistry, storedAzurePassword } from "./azure-registry.js";
import { startBrokerFor } from "./broker-under-test.js";
import { fetchIotCredentials } from "./fetch-iot-credentials.js";
import {
  copyImage,
  docker,
  inspectManifest,
  isMissing,
  openRegistryMachine,
  programs,
  whyMissing,
  withoutDocker,
} from "./registry-programs.js";
import { awsPrograms, botocoreFindsCredentials, python, withoutPython } from "./run-aws-programs.js";

/** What the service holds, and no machine may: the keys of a user of AWS, and passwords of Azure and of a registry. */
const login = { user: "robot", password: watched("not-a-real-secret-interop-robot-51dd") };
const stored = [...storedValues, storedAzurePassword, login.password];

let machine: JobMachine | undefined;
afterEach(() => {
  machine?.close();
  machine = undefined;
});

/** All that is on a machine: its environment, the names of its files and what is in them. */
const everythingOn = ({ environment, files, texts }: JobMachine): string =>
  [JSON.stringify(environment), ...files(), ...texts()].join("\n");

function expectNothingStoredOn(one: JobMachine, ...said: string[]): void {
  const all = [everythingOn(one), ...said].join("\n");
  expect(stored.map((value) => formIn(all, value))).toEqual(stored.map(() => undefined));
}

describe("on the machine where an AWS program got its token, nothing is of what is stored", () => {
  let files: Awaited<ReturnType<typeof makeServerFiles>>;
  let factory: AwsFactory;
  let job: { id: string; token: string };
  beforeAll(async () => {
    files = await makeServerFiles();
    factory = await startAwsFactory(files.environment);
    job = await factory.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
  });
  afterAll(async () => {
    await factory?.close();
    await files?.remove();
  });

  /** Trusts the service, and knows where it is. */
  function openMachine(environment: Record<string, string>): JobMachine {
    const opened = openJobMachine(environment);
    const authority = join(opened.home, "service-ca.pem");
    writeFileSync(authority, files.caPem);
    Object.assign(opened.environment, { AWS_CA_BUNDLE: authority, NODE_EXTRA_CA_CERTS: authority });
    return opened;
  }

  for (const program of awsPrograms) {
    test.skipIf(program.isMissing)(
      `${program.name}, with keys of the job in its environment`,
      async () => {
        machine = openMachine(await environmentOf(factory, job));
        const { authorization, said } = await program.askEcr(machine);
        expect([authorization, said]).toEqual([expect.stringMatching(/^Basic /), ""]);
        expectNothingStoredOn(machine, Buffer.from(authorization?.slice(6) ?? "", "base64").toString());
      },
      60_000,
    );

    test.skipIf(program.isMissing)(
      `${program.name}, with them in its files`,
      async () => {
        machine = openMachine({});
        const { body } = await factory.ask(job.token, { registry: host, format: "aws-config" });
        mkdirSync(join(machine.home, ".aws"));
        writeFileSync(join(machine.home, ".aws", "config"), body.configFile);
        writeFileSync(join(machine.home, ".aws", "credentials"), body.credentialsFile);
        expect((await program.askEcr(machine)).authorization).toMatch(/^Basic /);
        expectNothingStoredOn(machine);
      },
      60_000,
    );
  }

  test.skipIf(python === undefined)(
    `botocore in ci serve-credentials${withoutPython}`,
    async () => {
      machine = openMachine({
        FACTORY_SECRETS_URL: factory.service.url,
        FACTORY_SECRETS_FACTORY: factory.factory.name,
        FACTORY_SECRETS_TOKEN: job.token,
      });
      const command = ["sh", "-c", 'env && exec "$@"', "sh", ...botocoreFindsCredentials()];
      const { exitCode, stdout } = await machine.run(["ci", "serve-credentials", "--", ...command]);
      expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/"accessKeyId": "ASIA/)]);
      expectNothingStoredOn(machine, stdout);
    },
    60_000,
  );

  test.skipIf(python === undefined)(
    `awscrt, on a device${withoutPython}`,
    async () => {
      const root = await makeRoot();
      const grants = [{ registry: host, repositories: ["team/app"], actions: ["pull" as const] }];
      const policy = { grants, roleAliases: [{ alias: "ecr-pull", registry: host }] };
      await register(factory.service, factory.factory, { certificates: [root], policy });
      const device = await makeDevice(root, factory.factory.name);
      machine = openJobMachine({});
      const { deviceUrl } = factory.service;
      const outcome = await fetchIotCredentials(machine, { device, deviceUrl, caPem: files.caPem });
      expect(outcome).toMatchObject({ ok: { accessKeyId: expect.stringMatching(/^ASIA/) } });
      expectNothingStoredOn(machine, JSON.stringify(outcome));
    },
    60_000,
  );
});

describe.skipIf(isMissing)(
  `on the machine where skopeo pulled an image, nothing is of what is stored${whyMissing}`,
  () => {
    let azure: AzureRegistry;
    beforeAll(async () => {
      azure = await startAzureRegistry();
    });
    afterAll(() => azure?.close());

    async function openMachine(): Promise<JobMachine> {
      const { broker, registry } = azure;
      return openRegistryMachine(registry, {
        FACTORY_SECRETS_URL: broker.service.url,
        FACTORY_SECRETS_FACTORY: broker.factory.name,
        FACTORY_SECRETS_TOKEN: (await broker.openJob()).token,
      });
    }

    const pulled = { exitCode: 0, stderr: "" };

    test("through the credential helper", async () => {
      machine = await openMachine();
      await machine.run(["configure-docker"]);
      expect(await copyImage(machine, azure.registry, "acme/base")).toMatchObject(pulled);
      expect(machine.files()).toContain("home/image/manifest.json");
      expectNothingStoredOn(machine);
    });

    test("after ci login, which leaves the password for three hours, where the search does find it", async () => {
      machine = await openMachine();
      await machine.run(["ci", "login"]);
      expect(await copyImage(machine, azure.registry, "acme/base")).toMatchObject(pulled);
      const Config = z.object({ auths: z.record(z.string(), z.object({ auth: z.string() })) });
      const { auth = "" } = Config.parse(machine.readConfig()).auths[azure.registry.host] ?? {};
      const password = Buffer.from(auth, "base64").toString().split(":")[1] ?? "";
      expect(formIn(everythingOn(machine), password)).toMatchObject({ encoding: "in base64" });
      expectNothingStoredOn(machine);
    });

    test("inside ci exec, which shows its command the password for three hours and nothing else", async () => {
      machine = await openMachine();
      const script = 'env && cat "$DOCKER_CONFIG/config.json" && exec "$0" inspect "$1"';
      const image = `docker://${azure.registry.host}/acme/base:1`;
      const { exitCode, stdout } = await machine.run(["ci", "exec", "--", "sh", "-c", script, programs.skopeo, image]);
      expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/"auths"[\s\S]*"Digest"/)]);
      expectNothingStoredOn(machine, stdout);
    });

    test.skipIf(docker === undefined)(
      `through the credential helper, docker${withoutDocker}`,
      async () => {
        machine = await openMachine();
        await machine.run(["configure-docker"]);
        expect(await inspectManifest(machine, azure.registry, "acme/base")).toMatchObject({ exitCode: 0 });
        expectNothingStoredOn(machine);
      },
      60_000,
    );
  },
);

test.skipIf(isMissing)(
  `nor where skopeo pulled with a registry's bearer on its command line${whyMissing}`,
  async () => {
    const rights = { "acme/base": ["pull", "push"] } as const;
    const judge = judgeByUsers({ [login.user]: { password: login.password, rights } });
    const registry = await startPrivateRegistry({
      host: "registry.jobs.test",
      programs,
      auth: { kind: "token", judge },
    });
    expect(await registry.push("acme/base", login)).toMatchObject({ exitCode: 0 });
    const broker = await startBrokerFor(registry, { login: `${login.user}:${login.password}`, passThrough: false });
    machine = openRegistryMachine(registry, broker.jobEnvironment);
    const args = ["ci", "token", "--registry", registry.host, "--repository", "acme/base"];
    const { stdout } = await machine.run(args);
    const bearer = ["--src-registry-token", stdout.trim()];
    expect(await copyImage(machine, registry, "acme/base", bearer)).toMatchObject({ exitCode: 0, stderr: "" });
    expectNothingStoredOn(machine, stdout);
    await broker.close();
    await registry.close();
  },
  60_000,
);

test("a stored value that does lie on a machine is found, also in a folder of a program and in base64", () => {
  machine = openJobMachine({ EXAMPLE: "none" });
  expectNothingStoredOn(machine);
  const folder = join(machine.home, ".aws", "cli", "cache");
  mkdirSync(folder, { recursive: true });
  const planted = Buffer.from(`user:${storedAzurePassword}`).toString("base64");
  const path = join(folder, "a.json");
  writeFileSync(path, JSON.stringify({ planted }));
  expect(formIn(everythingOn(machine), storedAzurePassword)).toMatchObject({ encoding: "in base64" });
  writeFileSync(path, "");
});
