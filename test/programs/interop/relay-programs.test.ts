import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register } from "../../support/devices/device-service.js";
import { runProgram } from "../../support/programs/run-to-end.js";
import { type PrivateRegistry, startPrivateRegistry } from "../../support/registry/private-registry.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { isMissing, podman, programs, whyMissing, withoutPodman } from "./registry-programs.js";
import { folderIn, podmanPull, relayClients } from "./relay-clients.js";

// bcrypt of "not-a-real-secret-1".
const htpasswd = "publisher:$2b$05$abcdefghijklmnopqrstuuqxRDsdWMRa8mYvFRa435pF2BFzA6eXS\n";
const publisher = { user: "publisher", password: "not-a-real-secret-1" };
const home = await mkdtemp(join(tmpdir(), "relay-programs-"));
const { clients, missing } = relayClients(home);

describe.skipIf(isMissing)(`through the relay, from a docker-registry with passwords${whyMissing}`, () => {
  let registry: PrivateRegistry;
  let service: TestService;
  let factory: { id: string; name: string };
  let environment: Record<string, string>;

  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "registry.relay.test",
      programs,
      auth: { kind: "htpasswd", htpasswd },
    });
    environment = {
      FACTORY_SECRETS_CONNECT_TO: registry.connectTo,
      FACTORY_SECRETS_CA_FILE: await registry.writeFile("service-ca.pem", registry.caPem),
    };
    service = await startTestService(environment);
    factory = await service.createFactory();
    const path = `/v1/factories/${factory.name}`;
    const operator = service.as(service.operatorToken);
    const value = `${publisher.user}:${publisher.password}`;
    await operator.put(`${path}/secrets/registry_login`).send({ value }).expect(201);
    const entry = `- type: generic\n  url: ${registry.host}\n  generic_secret_name: registry_login\n`;
    const config = operator.put(`${path}/config`).set("Content-Type", "application/yaml");
    await config.send(`container_registries:\n${entry}`).expect(201);
    for (const repository of ["acme/base", "acme/app"])
      expect(await registry.push(repository, publisher)).toMatchObject({ exitCode: 0 });
  });

  afterAll(async () => {
    await service?.close();
    await registry?.close();
    await rm(home, { recursive: true });
  });

  describe.each(Object.entries(clients))(`%s with a job's token${missing}`, (name, pull) => {
    test("pulls, is told why it may not, and pulls no more once its job has ended", async () => {
      const grants = [{ registry: registry.host, repositories: ["acme/base"] }];
      const job = await service.openJob(factory.name, { grants });
      const from = { relay: new URL(service.url).host, factory: factory.name, registry: registry.host };
      const pullIt = (image: string) => pull({ ...from, image, token: job.token });
      expect(await pullIt("acme/base:1")).toMatchObject({ exitCode: 0 });
      const refused = await pullIt("acme/app:1");
      expect(refused.exitCode).not.toBe(0);
      // The sentence says what it may pull instead.
      expect(refused.stderr).toContain("acme/base");
      await service.as(service.operatorToken).delete(`/v1/factories/${factory.name}/jobs/${job.id}`).expect(204);
      const ended = await pullIt("acme/base:1");
      expect(ended.exitCode).not.toBe(0);
      // regctl says no more than that.
      expect(ended.stderr.toLowerCase()).toContain(name === "regctl" ? "unauthorized" : "token");
    });
  });

  describe("a device with its certificate alone", () => {
    let files: Awaited<ReturnType<typeof makeServerFiles>>;
    let forDevices: TestService;
    let certificates: string;

    beforeAll(async () => {
      files = await makeServerFiles();
      forDevices = await startTestService({ ...environment, ...files.environment });
      const root = await makeRoot();
      const grants = [{ registry: registry.host, repositories: ["acme/base"], actions: ["pull" as const] }];
      await register(service, factory, { certificates: [root], policy: { grants } });
      const device = await makeDevice(root, factory.name);
      certificates = await folderIn(home);
      await writeFile(join(certificates, "client.cert"), device.pem);
      await writeFile(join(certificates, "client.key"), device.keyPem);
      await writeFile(join(certificates, "ca.crt"), files.caPem);
    });

    afterAll(async () => {
      await forDevices?.close();
      await files?.remove();
    });

    const at = (repository: string) =>
      `${new URL(forDevices.deviceUrl).host}/${factory.name}/${registry.host}/${repository}:1`;
    const ownHome = { HOME: home, XDG_RUNTIME_DIR: home, PATH: process.env.PATH ?? "" };

    test("pulls by skopeo within its policy", async () => {
      const copy = async (repository: string) => {
        const shown = ["--src-cert-dir", certificates];
        const args = ["--insecure-policy", "copy", ...shown, `docker://${at(repository)}`];
        return runProgram(programs.skopeo, [...args, `dir:${await folderIn(home)}`], ownHome);
      };
      expect(await copy("acme/base")).toMatchObject({ exitCode: 0 });
      expect((await copy("acme/app")).stderr).toContain("acme/base");
    });

    test.skipIf(podman === undefined)(`pulls by podman within its policy${withoutPodman}`, async () => {
      const pull = async (repository: string) =>
        runProgram(podman ?? "", [...(await podmanPull(home)), "--cert-dir", certificates, at(repository)], ownHome);
      expect(await pull("acme/base")).toMatchObject({ exitCode: 0 });
      expect((await pull("acme/app")).stderr).toContain("acme/base");
    });
  });
});
