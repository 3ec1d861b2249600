import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";
import { type PrivateRegistry, startPrivateRegistry } from "../../support/registry/private-registry.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { isMissing, programs, whyMissing } from "./registry-programs.js";

// bcrypt of "not-a-real-secret-1".
const htpasswd = "publisher:$2b$05$abcdefghijklmnopqrstuuqxRDsdWMRa8mYvFRa435pF2BFzA6eXS\n";
const publisher = { user: "publisher", password: "not-a-real-secret-1" };

/** A program with its own way to say: log in as this, then fetch that. `undefined` when it is not there. */
type Client = (image: string, token: string) => Promise<ProgramResult>;

describe.skipIf(isMissing)(`through the relay, from a docker-registry with passwords${whyMissing}`, () => {
  let registry: PrivateRegistry;
  let service: TestService;
  let factory: string;
  let home: string;

  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "registry.relay.test",
      programs,
      auth: { kind: "htpasswd", htpasswd },
    });
    service = await startTestService({
      FACTORY_SECRETS_CONNECT_TO: registry.connectTo,
      FACTORY_SECRETS_CA_FILE: await registry.writeFile("service-ca.pem", registry.caPem),
    });
    ({ name: factory } = await service.createFactory());
    const operator = service.as(service.operatorToken);
    const login = `${publisher.user}:${publisher.password}`;
    await operator.put(`/v1/factories/${factory}/secrets/registry_login`).send({ value: login }).expect(201);
    const entry = `- type: generic\n  url: ${registry.host}\n  generic_secret_name: registry_login\n`;
    const config = operator.put(`/v1/factories/${factory}/config`).set("Content-Type", "application/yaml");
    await config.send(`container_registries:\n${entry}`).expect(201);
    for (const repository of ["acme/base", "acme/app"])
      expect(await registry.push(repository, publisher)).toMatchObject({ exitCode: 0 });
    home = await mkdtemp("/tmp/relay-programs-");
    await writeFile(join(home, "policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
  });

  afterAll(async () => {
    await service?.close();
    await registry?.close();
  });

  const relay = () => new URL(service.url).host;
  const run = (program: string, args: readonly string[], environment: Record<string, string> = {}) =>
    runProgram(program, args, { HOME: home, XDG_RUNTIME_DIR: home, PATH: process.env.PATH ?? "", ...environment });
  const dockerConfig = async (token: string): Promise<string> => {
    const folder = await mkdtemp(join(home, "config-"));
    const auths = { [relay()]: { auth: Buffer.from(`job:${token}`).toString("base64") } };
    await writeFile(join(folder, "config.json"), JSON.stringify({ auths }));
    return folder;
  };

  const clients: Record<string, Client> = {
    skopeo: async (image, token) =>
      run(programs.skopeo, [
        ...["--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds", `job:${token}`],
        ...[`docker://${image}`, `dir:${await mkdtemp(join(home, "pulled-"))}`],
      ]),
    podman: async (image, token) => {
      const folder = await mkdtemp(join(home, "podman-"));
      const storage = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
      const policy = ["--signature-policy", join(home, "policy.json")];
      const creds = ["--creds", `job:${token}`];
      return run("podman", [...storage, "pull", "--quiet", "--tls-verify=false", ...policy, ...creds, image]);
    },
    crane: async (image, token) =>
      run("crane", ["pull", "--insecure", image, join(await mkdtemp(join(home, "crane-")), "image.tar")], {
        DOCKER_CONFIG: await dockerConfig(token),
      }),
    regctl: async (image, token) => {
      const folder = await mkdtemp(join(home, "regctl-"));
      await mkdir(join(folder, ".regctl"));
      const host = { tls: "disabled", user: "job", pass: token };
      await writeFile(join(folder, "config.json"), JSON.stringify({ hosts: { [relay()]: host } }));
      return run("regctl", ["image", "copy", image, `ocidir://${folder}/image:1`], {
        REGCTL_CONFIG: join(folder, "config.json"),
      });
    },
    oras: async (image, token) =>
      run("oras", [
        ...["cp", "--from-plain-http", "--from-username", "job", "--from-password", token],
        ...[image, "--to-oci-layout", `${await mkdtemp(join(home, "oras-"))}:1`],
      ]),
  };

  describe.each(Object.entries(clients))("%s", (name, pull) => {
    test("pulls, is told why it may not, and pulls no more once its job has ended", async () => {
      const grants = [{ registry: registry.host, repositories: ["acme/base"] }];
      const job = await service.openJob(factory, { grants });
      const at = (repository: string) => `${relay()}/${factory}/${registry.host}/${repository}:1`;
      const pulled = await pull(at("acme/base"), job.token);
      const refused = await pull(at("acme/app"), job.token);
      await service.as(service.operatorToken).delete(`/v1/factories/${factory}/jobs/${job.id}`).expect(204);
      const ended = await pull(at("acme/base"), job.token);
      expect(pulled).toMatchObject({ exitCode: 0 });
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stderr).toContain("This job was opened for less.");
      expect(ended.exitCode).not.toBe(0);
      // regctl says no more than that.
      expect(ended.stderr).toContain(name === "regctl" ? "unauthorized" : "This token is not valid");
    });
  });
});
