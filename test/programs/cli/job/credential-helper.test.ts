import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readCached, writeCached } from "../../../../src/cli/job/sealed-cache.js";
import { bearerHost, type FactoryForJobs, passwordHost, startFactoryForJobs } from "./factory-for-jobs.js";
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

const issued = async (): Promise<number> => (await factory.events("registry-token.issued")).length;
const cached = () => machine.files().filter((name) => name.startsWith("home/.cache/factory-secrets/"));

describe("docker-credential-factory-secrets get", () => {
  test("gives the login of the registry that docker names, however it writes it", async () => {
    for (const server of [passwordHost, `https://${passwordHost}`, `https://${passwordHost.toUpperCase()}/v1/\n`]) {
      const done = await machine.helper("get", server);
      expect(done).toMatchObject({ exitCode: 0, stderr: "" });
      expect(JSON.parse(done.stdout)).toEqual({
        ServerURL: server.trim(),
        Username: "00000000-0000-0000-0000-000000000000",
        Secret: expect.any(String),
      });
    }
  });

  test("asks the service once while the token is fresh, and keeps it for its user alone, sealed", async () => {
    const before = await issued();
    const [first, second] = [await machine.helper("get", passwordHost), await machine.helper("get", passwordHost)];
    expect(second.stdout).toBe(first.stdout);
    expect(await issued()).toBe(before + 1);
    const [name = ""] = cached();
    expect(cached()).toHaveLength(1);
    const path = join(machine.home, "..", name);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { Secret } = JSON.parse(first.stdout);
    const text = readFileSync(path, "utf8");
    expect(text).not.toContain(Secret);
    expect(Buffer.from(text, "base64").toString("latin1")).not.toContain(Secret);
  });

  test("gives one job nothing of what another left on the machine", async () => {
    await machine.helper("get", passwordHost);
    const { id, token } = await factory.openJob();
    const path = `/v1/factories/${factory.factory.name}/jobs/${id}`;
    await factory.service.as(factory.service.operatorToken).delete(path).expect(204);
    const other = await machine.helper("get", passwordHost, { FACTORY_SECRETS_TOKEN: token });
    expect(other).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("has ended or expired") });
  });

  test("asks again after erase", async () => {
    await machine.helper("get", passwordHost);
    expect(await machine.helper("erase", passwordHost)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(cached()).toEqual([]);
    const before = await issued();
    expect(await machine.helper("get", passwordHost)).toMatchObject({ exitCode: 0 });
    expect(await issued()).toBe(before + 1);
  });

  test.each([
    ["a registry beyond the job's grants", "quay.io", /This job was opened for less/],
    ["a registry that gives a bearer", bearerHost, /a credential helper can pass only a password to docker/],
    ["no registry at all", "", /named no valid registry/],
  ])(
    "refuses %s on standard output and for people to read, in words that docker does not read as missing credentials",
    async (_, server, sentence) => {
      const done = await machine.helper("get", server);
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(sentence) });
      expect(done.stderr).toBe(`docker-credential-factory-secrets: ${done.stdout}`);
      expect(done.stdout).not.toContain("credentials not found in native keychain");
    },
  );

  test("names for a bearer only commands and flags that there are", async () => {
    const { stdout } = await machine.helper("get", bearerHost);
    const commands = [...stdout.matchAll(/`factory-secrets ([^`]+)`/g)].map(([, command = ""]) => command.split(" "));
    expect(commands.length).toBeGreaterThan(0);
    for (const words of commands) {
      const path = words.slice(0, 2);
      const help = await machine.run([...path, "--help"]);
      expect(help.exitCode).toBe(0);
      for (const flag of words.filter((word) => word.startsWith("--"))) expect(help.stdout).toContain(`${flag} <`);
    }
  });

  test("says what is missing when it is not set up", async () => {
    const done = await machine.helper("get", passwordHost, { FACTORY_SECRETS_URL: "" });
    expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^The URL of the service is not set\./) });
  });
});

describe("the other commands of a helper", () => {
  test("list names the hosts for which docker asks this helper", async () => {
    machine.writeConfig({ credHelpers: { [passwordHost]: "factory-secrets", "other.example.com": "desktop" } });
    const done = await machine.helper("list", "");
    expect(JSON.parse(done.stdout)).toEqual({ [passwordHost]: "factory-secrets" });
  });

  test("store and an unknown command are refused", async () => {
    const stored = await machine.helper("store", '{"ServerURL":"x","Username":"y","Secret":"z"}');
    expect(stored).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("docker login is not needed") });
    const none = await machine.helper("rename", "");
    expect(none).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("Usage: docker-credential-") });
  });

  test("version and --help are answered, as docker's own helpers answer them", async () => {
    const version = await machine.helper("version", "");
    expect(version).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^docker-credential-\S+ \d+\.\d/) });
    expect(await machine.helper("--help", "")).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

describe("configure-docker", () => {
  test("names the helper for the hosts that give passwords, and says which do not", async () => {
    machine.writeConfig({ credsStore: "desktop", credHelpers: { "other.example.com": "desktop" } });
    const done = await machine.run(["configure-docker"]);
    expect(done).toMatchObject({ exitCode: 0, stdout: `${passwordHost}\n` });
    expect(done.stderr).toContain(`${bearerHost}: not configured. It gives a bearer token`);
    expect(machine.readConfig()).toEqual({
      credsStore: "desktop",
      credHelpers: { "other.example.com": "desktop", [passwordHost]: "factory-secrets" },
    });
  });

  test("asks nobody about hosts that are named, and knows docker's key of Docker Hub", async () => {
    const environment = { FACTORY_SECRETS_TOKEN: "", FACTORY_SECRETS_URL: "" };
    const args = ["configure-docker", "--registry", "docker.io", "--registry", "GHCR.io"];
    expect(await machine.run(args, { environment })).toMatchObject({ exitCode: 0 });
    expect(machine.readConfig()).toEqual({
      credHelpers: { "https://index.docker.io/v1/": "factory-secrets", "ghcr.io": "factory-secrets" },
    });
  });
});

describe("a login that is kept", () => {
  const key = { identity: "fsj_a", service: "https://a.example.com", factory: "acme", registry: "ghcr.io" };
  const refreshAfter = "2026-01-01T01:00:00.000Z";
  const login = { username: "me", password: "not-a-real-secret", refreshAfter };
  const before = new Date("2026-01-01T00:59:59Z");
  const after = new Date("2026-01-01T01:00:00Z");

  test("is given again until refreshAfter, to the same job and for the same registry", async () => {
    const directory = join(machine.home, "cache");
    await writeCached(directory, key, login, before);
    expect(await readCached(directory, key, before)).toEqual(login);
    expect(await readCached(directory, key, after)).toBeUndefined();
    for (const other of [{ identity: "fsj_b" }, { factory: "b" }, { registry: "quay.io" }, { service: "https://b" }])
      expect(await readCached(directory, { ...key, ...other }, before)).toBeUndefined();
  });

  test("is removed by the next one once its time is over", async () => {
    const directory = join(machine.home, "cache");
    await writeCached(directory, key, login, before);
    await writeCached(
      directory,
      { ...key, registry: "quay.io" },
      { ...login, refreshAfter: "2026-01-02T00:00:00Z" },
      after,
    );
    expect(machine.files().filter((name) => name.startsWith("home/cache/"))).toHaveLength(1);
  });

  test("that was changed on the disk is none", async () => {
    const directory = join(machine.home, "cache");
    await writeCached(directory, key, login, before);
    const [name = ""] = machine.files().filter((file) => file.startsWith("home/cache/"));
    const path = join(machine.home, "..", name);
    const text = readFileSync(path, "utf8");
    for (const broken of ["", "AAAA", `${text.slice(0, -8)}AAAAAAA=`]) {
      writeFileSync(path, broken);
      expect(await readCached(directory, key, before)).toBeUndefined();
    }
  });
});
