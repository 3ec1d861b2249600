import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { basic, tokenFor } from "../../../support/broker/relayed-factory.js";
import { bearerHost, type FactoryForJobs, passwordHost, startFactoryForJobs } from "./factory-for-jobs.js";
import type { JobMachine } from "./job-machine.js";

let factory: FactoryForJobs;
let relay: string;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  relay = new URL(factory.service.url).host;
});
afterAll(() => factory?.close());

let machine: JobMachine;
let token: string;
beforeEach(async () => {
  token = await factory.narrowJob();
  machine = await factory.machine(token);
});
afterEach(() => machine.close());

const passwordOf = (config: unknown): string[] =>
  Buffer.from(JSON.parse(JSON.stringify(config)).auths[relay].auth, "base64")
    .toString()
    .split(":");

describe("ci login --relay", () => {
  test("writes the job's own token for the relay alone, and shows it nowhere", async () => {
    const done = await machine.run(["ci", "login", "--relay"]);
    expect(done).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/works until \d{4}-.*Z\.\n$/) });
    expect(done.stdout).toContain(`Images are named ${relay}/${factory.factory.name}/<registry>/<repository>.`);
    expect(`${done.stdout}${done.stderr}`).not.toContain(token);
    const config = machine.readConfig();
    expect(config).toEqual({ auths: { [relay]: { auth: expect.any(String) } } });
    expect(statSync(machine.configPath).mode & 0o777).toBe(0o600);
    const [user = "", password = ""] = passwordOf(config);
    expect([user, password]).toEqual([factory.factory.name, token]);
    expect(await tokenFor(factory.service.url, basic(user, password), [])).toMatchObject({ scope: "" });
  });

  test("is taken back by ci logout, and all else stays", async () => {
    const own = { auths: { "registry.example.com": { auth: "bWU6bXk=" } } };
    machine.writeConfig(own);
    await machine.run(["ci", "login", "--relay"]);
    await machine.run(["ci", "login", "--registry", passwordHost]);
    expect(await machine.run(["ci", "logout"])).toMatchObject({ exitCode: 0, stderr: expect.stringContaining(relay) });
    expect(machine.readConfig()).toEqual(own);
  });

  test("writes an ID token as it is, and says how long it works", async () => {
    const claims = Buffer.from(JSON.stringify({ exp: 4_000_000_000 })).toString("base64url");
    const idToken = `eyJhbGciOiJub25lIn0.${claims}.not-a-signature`;
    const environment = { FACTORY_SECRETS_TOKEN: "", FACTORY_SECRETS_ID_TOKEN: idToken };
    const done = await machine.run(["ci", "login", "--relay", "--output", "json"], { environment });
    expect(JSON.parse(done.stdout)).toEqual({
      ...{ configPath: machine.configPath, relay, username: factory.factory.name },
      expiresAt: new Date(4_000_000_000_000).toISOString(),
    });
    expect(passwordOf(machine.readConfig())).toEqual([factory.factory.name, idToken]);
  });

  test.each([
    [
      "a token that the service does not take",
      ["--relay"],
      { FACTORY_SECRETS_TOKEN: "fsj_x" },
      4,
      /does not accept the job token/,
    ],
    ["--registry", ["--relay", "--registry", "ghcr.io"], {}, 2, /leave --for, --registry and --repository out/],
    ["a URL with a path", ["--relay", "--url", "https://example.test/secrets"], {}, 2, /a host of its own/],
  ])("refuses %s and writes nothing", async (_, args, environment, exitCode, sentence) => {
    const refused = await machine.run(["ci", "login", ...args], { environment });
    expect(refused).toMatchObject({ exitCode, stdout: "" });
    expect(refused.stderr).toMatch(sentence);
    expect(machine.files()).toEqual([]);
  });

  test("puts no operator's token where every program of the job reads it", async () => {
    const environment = { FACTORY_SECRETS_TOKEN: factory.service.operatorToken };
    const refused = await machine.run(["ci", "login", "--relay"], { environment });
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("jobs open NAME") });
    expect(machine.files()).toEqual([]);
  });

  test.each([{ credsStore: "osxkeychain" }, { credsStore: "factory-secrets" }])(
    "respects %j, which docker would ask in place of the file",
    async (config) => {
      machine.writeConfig(config);
      const refused = await machine.run(["ci", "login", "--relay"]);
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("Set DOCKER_CONFIG") });
      expect(machine.readConfig()).toEqual(config);
    },
  );
});

describe("ci relay", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  beforeEach(() => {
    put("tree/app/Dockerfile", [
      "ARG TAG=1",
      `FROM ${bearerHost}/acme/base:\${TAG} AS base`,
      "FROM docker.io/library/alpine:3",
      `COPY --from=${passwordHost}/acme/app@${digest} /x /x`,
      "COPY --from=base /y /y",
      "COPY --from=tools /z /z",
    ]);
    put("tree/compose.yaml", [
      "services:",
      "  web:",
      "    build:",
      "      context: app",
      "      additional_contexts:",
      `        tools: docker-image://${bearerHost}/acme/app:2`,
      "  other: { build: app }",
      `  db: { image: "${passwordHost}/acme/base" }`,
      "  cache: { image: redis }",
    ]);
  });

  function put(file: string, lines: readonly string[]): void {
    mkdirSync(dirname(join(machine.home, file)), { recursive: true });
    writeFileSync(join(machine.home, file), `${lines.join("\n")}\n`);
  }
  const run = (format: string, ...args: string[]) =>
    machine.run(["ci", "relay", "--for", join(machine.home, "tree"), "--format", format, ...args]);
  const at = (host: string, rest: string) => `${relay}/${factory.factory.name}/${host}/${rest}`;

  test("prints a build context for each private image of a build, which $(...) makes arguments of", async () => {
    const done = await run("buildx");
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(done.stdout.trim().split(/\s+/).toSorted()).toEqual(
      [
        `--build-context=${bearerHost}/acme/base:1=docker-image://${at(bearerHost, "acme/base:1")}`,
        `--build-context=${passwordHost}/acme/app@${digest}=docker-image://${at(passwordHost, `acme/app@${digest}`)}`,
        `--build-context=tools=docker-image://${at(bearerHost, "acme/app:2")}`,
      ].toSorted(),
    );
  });

  test("writes a compose file that changes images and builds of its services", async () => {
    const out = join(machine.home, "relay.yaml");
    expect(await run("compose", "--out", out)).toMatchObject({ exitCode: 0, stdout: "" });
    const base = { [`${bearerHost}/acme/base:1`]: `docker-image://${at(bearerHost, "acme/base:1")}` };
    const app = { [`${passwordHost}/acme/app@${digest}`]: `docker-image://${at(passwordHost, `acme/app@${digest}`)}` };
    expect(parse(readFileSync(out, "utf8"))).toEqual({
      services: {
        db: { image: at(passwordHost, "acme/base:latest") },
        web: {
          build: { additional_contexts: { ...base, ...app, tools: `docker-image://${at(bearerHost, "acme/app:2")}` } },
        },
        other: { build: { additional_contexts: { ...base, ...app } } },
      },
    });
  });

  test("writes a prefix and a location for each private repository", async () => {
    const { stdout, exitCode } = await run("registries-conf");
    expect(exitCode).toBe(0);
    const tables = stdout.trim().split("\n\n");
    expect(tables).toContain(
      `[[registry]]\nprefix = "${bearerHost}/acme/base"\nlocation = "${at(bearerHost, "acme/base")}"\ninsecure = true`,
    );
    expect(tables.map((table) => /prefix = "(.*)"/.exec(table)?.[1]).toSorted()).toEqual(
      [
        `${bearerHost}/acme/app`,
        `${bearerHost}/acme/base`,
        `${passwordHost}/acme/app`,
        `${passwordHost}/acme/base`,
      ].toSorted(),
    );
  });

  test("names what a form cannot change, and fails", async () => {
    put("tree/app/Dockerfile", [`# syntax=${bearerHost}/acme/base:1`, "FROM scratch"]);
    const done = await run("buildx");
    expect(done).toMatchObject({ exitCode: 1, stdout: "" });
    expect(done.stderr).toContain(`app/Dockerfile:1: syntax ${bearerHost}/acme/base:1: buildx cannot change this one.`);
  });

  test("refuses two compose projects in one file", async () => {
    put("tree/more/compose.yaml", ["services:", `  db: { image: "${passwordHost}/acme/base" }`]);
    const refused = await run("compose");
    expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
    expect(refused.stderr).toContain("Give --for the folder of one.");
  });

  test("says that nothing is private where nothing is", async () => {
    put("tree/app/Dockerfile", ["FROM alpine"]);
    put("tree/compose.yaml", ["services: { web: { build: app } }"]);
    const done = await run("registries-conf");
    expect(done).toMatchObject({ exitCode: 0, stdout: "", stderr: expect.stringContaining("is private") });
  });
});
