import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { runProgram } from "../../support/programs/run-to-end.js";
import { type PrivateRegistry, startPrivateRegistry } from "../../support/registry/private-registry.js";
import { judgeByUsers } from "../../support/registry/registry-realm.js";
import { writeTinyImage } from "../../support/registry/tiny-image.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { isMissing, podman, programs, whyMissing, withoutPodman } from "./registry-programs.js";
import { folderIn, podmanStorage, relayClients } from "./relay-clients.js";

// bcrypt of "not-a-real-secret-1".
const htpasswd = "publisher:$2b$05$abcdefghijklmnopqrstuuqxRDsdWMRa8mYvFRa435pF2BFzA6eXS\n";
const publisher = { user: "publisher", password: "not-a-real-secret-1" };
const rights = { "acme/base": ["pull", "push"], "acme/app": ["pull", "push"] } as const;
const judge = judgeByUsers({ publisher: { password: publisher.password, rights } });
const host = "registry.relay.test";
const home = await mkdtemp(join(tmpdir(), "relays-"));
afterAll(() => rm(home, { recursive: true }));

const conformance = process.env.FACTORY_SECRETS_TEST_OCI_CONFORMANCE;
const withoutSuite =
  conformance === undefined
    ? " (skipped: FACTORY_SECRETS_TEST_OCI_CONFORMANCE does not name the program of opencontainers/distribution-spec/conformance)"
    : "";
const helm = process.env.FACTORY_SECRETS_TEST_HELM;
const withoutHelm = helm === undefined ? " (skipped: FACTORY_SECRETS_TEST_HELM does not name helm)" : "";

/** A folder with buildkitd and buildctl. */
const buildkit = process.getuid?.() === 0 ? process.env.FACTORY_SECRETS_TEST_BUILDKIT : undefined;
const withoutBuildkit =
  buildkit === undefined
    ? " (skipped: FACTORY_SECRETS_TEST_BUILDKIT names no folder with buildkitd and buildctl, or this is not root)"
    : "";

type Relayed = { registry: PrivateRegistry; service: TestService; factory: { id: string; name: string } };

/** A registry with two images, and the whole service in front of it. */
async function relayTo(options: Omit<Parameters<typeof startPrivateRegistry>[0], "host" | "programs">) {
  const registry = await startPrivateRegistry({ host, programs, ...options });
  for (const repository of ["acme/base", "acme/app"])
    expect(await registry.push(repository, publisher)).toMatchObject({ exitCode: 0 });
  const service = await startTestService({
    FACTORY_SECRETS_CONNECT_TO: registry.connectTo,
    FACTORY_SECRETS_CA_FILE: await registry.writeFile("service-ca.pem", registry.caPem),
  });
  const factory = await service.createFactory();
  const path = `/v1/factories/${factory.name}`;
  const operator = service.as(service.operatorToken);
  const value = `${publisher.user}:${publisher.password}`;
  await operator.put(`${path}/secrets/registry_login`).send({ value }).expect(201);
  const entry = `container_registries:\n- type: generic\n  url: ${host}\n  generic_secret_name: registry_login\n`;
  await operator.put(`${path}/config`).set("Content-Type", "application/yaml").send(entry).expect(201);
  return { registry, service, factory };
}

async function close({ registry, service }: Relayed): Promise<void> {
  await service.close();
  await registry.close();
}

const jobFor = ({ service, factory }: Relayed, repositories: readonly string[]) =>
  service.openJob(factory.name, { grants: [{ registry: host, repositories }] });

const endJob = ({ service, factory }: Relayed, id: string) =>
  service.as(service.operatorToken).delete(`/v1/factories/${factory.name}/jobs/${id}`).expect(204);

const storageHost = "storage.relay.test";
describe.skipIf(isMissing).each([
  ["a token realm", { auth: { kind: "token", judge } }],
  ["blobs at another host", { auth: { kind: "htpasswd", htpasswd }, storageHost }],
] as const)(`through the relay, from a docker-registry with %s${whyMissing}`, (_, options) => {
  let relayed: Relayed;
  beforeAll(async () => {
    relayed = await relayTo(options);
  });
  afterAll(() => close(relayed));

  test("skopeo and crane pull, are told why they may not, and pull no more once the job has ended", async () => {
    const { service, factory, registry } = relayed;
    const job = await jobFor(relayed, ["acme/base"]);
    const from = { relay: new URL(service.url).host, factory: factory.name, registry: host, token: job.token };
    // The way to the storage, where the relay sends them.
    const { clients } = relayClients(home, registry.clientEnvironment);
    const some = Object.entries(clients).filter(([name]) => name === "skopeo" || name === "crane");
    for (const [name, pull] of some) {
      expect([name, await pull({ ...from, image: "acme/base:1" })]).toMatchObject([name, { exitCode: 0, stderr: "" }]);
      const refused = await pull({ ...from, image: "acme/app:1" });
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("acme/base") });
    }
    await endJob(relayed, job.id);
    for (const [name, pull] of some)
      expect([name, (await pull({ ...from, image: "acme/base:1" })).exitCode]).toEqual([name, 1]);
  });
});

describe.skipIf(isMissing)(`through the relay, from a docker-registry${whyMissing}`, () => {
  let relayed: Relayed;
  beforeAll(async () => {
    relayed = await relayTo({ auth: { kind: "htpasswd", htpasswd } });
  });
  afterAll(() => close(relayed));

  test.skipIf(conformance === undefined)(
    `OCI's conformance suite finds nothing that the registry alone does not fail at${withoutSuite}`,
    async () => {
      const { service, factory, registry } = relayed;
      const { token } = await jobFor(relayed, ["acme/base"]);
      const image = await tinyImage();
      const alone = await runSuite(image, {
        ...registry.clientEnvironment,
        ...{ OCI_REGISTRY: host, OCI_REPO1: "acme/base" },
        ...{ OCI_USERNAME: publisher.user, OCI_PASSWORD: publisher.password },
      });
      const relay = await runSuite(image, {
        ...{ OCI_REGISTRY: new URL(service.url).host, OCI_TLS: "disabled" },
        OCI_REPO1: `${factory.name}/${host}/acme/base`,
        ...{ OCI_USERNAME: "job", OCI_PASSWORD: token },
      });
      expect(relay.passed.length).toBeGreaterThan(10);
      expect(relay.passed).toEqual(expect.arrayContaining([...alone.passed]));
      expect(alone.failed).toEqual(expect.arrayContaining([...relay.failed]));
    },
  );

  test.skipIf(helm === undefined)(
    `helm pulls a chart, and is told why it may not pull another${withoutHelm}`,
    async () => {
      const { service, factory, registry } = relayed;
      const folder = await folderIn(home);
      const environment = { HOME: folder, PATH: process.env.PATH ?? "" };
      const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
        runProgram(helm ?? "", args, { ...environment, ...more });
      expect(await run(["create", join(folder, "tiny")])).toMatchObject({ exitCode: 0 });
      expect(await run(["package", join(folder, "tiny"), "--destination", folder])).toMatchObject({ exitCode: 0 });
      const login = ["--username", publisher.user, "--password", publisher.password];
      for (const repository of ["charts", "others"]) {
        const push = ["push", join(folder, "tiny-0.1.0.tgz"), `oci://${host}/${repository}`, ...login];
        expect(await run(push, registry.clientEnvironment)).toMatchObject({ exitCode: 0 });
      }
      const job = await jobFor(relayed, ["charts/tiny"]);
      const pull = async (repository: string) => {
        const chart = `oci://${new URL(service.url).host}/${factory.name}/${host}/${repository}/tiny`;
        const as = ["--username", "job", "--password", job.token, "--plain-http"];
        return run(["pull", chart, "--version", "0.1.0", "--destination", await folderIn(home), ...as]);
      };
      expect(await pull("charts")).toMatchObject({ exitCode: 0 });
      expect(await pull("others")).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("charts/tiny") });
      await endJob(relayed, job.id);
      expect(await pull("charts")).toMatchObject({ exitCode: 1 });
    },
  );

  describe("with what ci login --relay and ci relay have written", () => {
    let machine: JobMachine;
    let folder: string;
    let job: { id: string; token: string };
    beforeAll(async () => {
      const { service, factory } = relayed;
      job = await jobFor(relayed, ["acme/base"]);
      machine = openJobMachine({
        FACTORY_SECRETS_URL: service.url,
        FACTORY_SECRETS_FACTORY: factory.name,
        FACTORY_SECRETS_TOKEN: job.token,
      });
      folder = join(machine.home, "tree");
      await mkdir(folder);
      await writeFile(join(folder, "Dockerfile"), `FROM ${host}/acme/base:1\nCOPY Dockerfile /Dockerfile\n`);
      expect(await machine.run(["ci", "login", "--relay"])).toMatchObject({ exitCode: 0 });
      const out = join(machine.home, ".config", "containers", "registries.conf");
      await mkdir(dirname(out), { recursive: true });
      const args = ["ci", "relay", "--for", folder, "--format", "registries-conf", "--out", out];
      expect(await machine.run(args)).toMatchObject({ exitCode: 0, stderr: "" });
    });
    afterAll(() => machine.close());

    const environment = () => ({
      ...{ HOME: machine.home, XDG_RUNTIME_DIR: machine.home, PATH: process.env.PATH ?? "" },
      ...{ REGISTRY_AUTH_FILE: machine.configPath, BUILDAH_ISOLATION: "chroot" },
    });

    test("skopeo finds the image under its own name, as far as the login of the job reaches", async () => {
      const copy = async (repository: string) => {
        const args = ["--insecure-policy", "copy", `docker://${host}/${repository}:1`, `dir:${await folderIn(home)}`];
        return runProgram(programs.skopeo, args, environment());
      };
      expect(await copy("acme/base")).toMatchObject({ exitCode: 0 });
      const other = await jobFor(relayed, ["acme/app"]);
      const ofOther = { environment: { FACTORY_SECRETS_TOKEN: other.token } };
      expect(await machine.run(["ci", "login", "--relay"], ofOther)).toMatchObject({ exitCode: 0 });
      expect(await copy("acme/base")).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("acme/app") });
      expect(await machine.run(["ci", "login", "--relay"])).toMatchObject({ exitCode: 0 });
    });

    test.skipIf(buildkit === undefined)(
      `BuildKit builds the Dockerfile as it is, by build contexts and by a mirror of its configuration${withoutBuildkit}`,
      async () => {
        const { service, factory } = relayed;
        const relay = new URL(service.url).host;
        const { stdout } = await machine.run(["ci", "relay", "--for", folder, "--format", "buildx"]);
        // What buildx makes of its flag --build-context=NAME=IMAGE.
        const contexts = stdout
          .trim()
          .split("\n")
          .map((flag) => `--opt=context:${flag.slice("--build-context=".length)}`);
        const plain = `[registry."${relay}"]\n  http = true\n`;
        const mirror = `[registry."${host}"]\n  mirrors = ["${relay}/${factory.name}"]\n`;
        const ofJob = { DOCKER_CONFIG: dirname(machine.configPath), PATH: process.env.PATH ?? "", HOME: machine.home };
        for (const [config, options] of [
          [plain, contexts],
          [`${plain}${mirror}`, []],
        ] as const) {
          const built = await buildWithBuildkit({ home, config, folder, options, environment: ofJob });
          expect(built).toMatchObject({ exitCode: 0 });
        }
      },
    );

    test.skipIf(podman === undefined)(`podman builds the Dockerfile as it is${withoutPodman}`, async () => {
      const { storage, policy } = await podmanStorage(home);
      const build = ["build", "--no-cache", "--pull=always", "--signature-policy", policy, folder];
      expect(await runProgram(podman ?? "", [...storage, ...build], environment())).toMatchObject({ exitCode: 0 });
      await endJob(relayed, job.id);
      const ended = await runProgram(podman ?? "", [...storage, ...build], environment());
      expect(ended.exitCode).not.toBe(0);
      expect(ended.stderr).toContain("token");
    });
  });
});

/** The digests of the image that is pushed to each repository. */
async function tinyImage(): Promise<{ manifest: string; blobs: readonly string[] }> {
  const folder = await folderIn(home);
  await writeTinyImage(folder, "1");
  const Index = z.object({ manifests: z.tuple([z.object({ digest: z.string() })]) });
  const [{ digest }] = Index.parse(JSON.parse(await readFile(join(folder, "index.json"), "utf8"))).manifests;
  const all = (await readdir(join(folder, "blobs", "sha256"))).map((name) => `sha256:${name}`);
  return { manifest: digest, blobs: all.filter((blob) => blob !== digest) };
}

/** The pull half, by names of its tests. */
async function runSuite(image: Awaited<ReturnType<typeof tinyImage>>, environment: Readonly<Record<string, string>>) {
  const results = await folderIn(home);
  const { stdout } = await runProgram(conformance ?? "", [], {
    ...{ OCI_RESULTS_DIR: results, OCI_API_PULL: "true", OCI_API_PUSH: "false" },
    ...{ OCI_API_BLOBS_DELETE: "false", OCI_API_MANIFESTS_DELETE: "false", OCI_API_TAGS_DELETE: "false" },
    ...{ OCI_RO_DATA_TAGS: "1", OCI_RO_DATA_MANIFESTS: image.manifest, OCI_RO_DATA_BLOBS: image.blobs.join(" ") },
    ...{ OCI_RO_DATA_REFERRERS: image.manifest, HOME: results, ...environment },
  });
  const lines = [...stdout.matchAll(/^ *OCI Conformance Test\/(\S+): (Pass|FAIL|Error)/gm)];
  const of = (outcome: RegExp) => lines.filter(([, , said = ""]) => outcome.test(said)).map(([, name]) => name);
  return { passed: of(/Pass/), failed: of(/FAIL|Error/) };
}

/** Builds a folder's Dockerfile with a daemon of its own, which has nothing in its store. */
async function buildWithBuildkit(build: {
  home: string;
  config: string;
  folder: string;
  options: readonly string[];
  environment: Readonly<Record<string, string>>;
}) {
  const directory = await folderIn(build.home);
  const configFile = join(directory, "buildkitd.toml");
  await writeFile(configFile, build.config);
  const address = `unix://${join(directory, "socket")}`;
  const worker = ["--oci-worker-snapshotter=native", "--oci-worker-net=host", "--containerd-worker=false"];
  const args = ["--root", join(directory, "root"), "--addr", address, "--config", configFile, ...worker];
  const daemon = spawn(join(buildkit ?? "", "buildkitd"), args, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(daemon, "exit");
  try {
    for await (const line of createInterface({ input: daemon.stderr })) if (line.includes("running server")) break;
    daemon.stderr.resume();
    const local = [`--local=context=${build.folder}`, `--local=dockerfile=${build.folder}`];
    const command = ["--addr", address, "build", "--frontend=dockerfile.v0", ...local, ...build.options];
    return await runProgram(join(buildkit ?? "", "buildctl"), command, build.environment);
  } finally {
    daemon.kill("SIGTERM");
    await exited;
  }
}
