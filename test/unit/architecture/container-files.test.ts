import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { readSettings, settingNames } from "../../../src/settings/settings.js";
import { readSourceFiles } from "./source-files.js";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const exists = (path: string): boolean => existsSync(new URL(`../../../${path}`, import.meta.url));

/** `zod` for `zod/v4/core`, `@scope/name` for `@scope/name/part`. */
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

const Packages = z.record(z.string(), z.string());
const manifest = z
  .object({ dependencies: Packages, devDependencies: Packages })
  .parse(JSON.parse(read("package.json")));

describe("the Dockerfile", () => {
  const instructions = read("Dockerfile")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => /^[A-Z]+ /.test(line));
  const lastStage = instructions.slice(instructions.findLastIndex((line) => line.startsWith("FROM ")));

  test("copies only what is there and what .dockerignore lets through", () => {
    const admitted = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"));
    const copies = instructions.filter((line) => line.startsWith("COPY ") && !line.includes("--from="));
    const sources = copies.flatMap((line) => line.split(/\s+/).slice(1, -1));
    expect(sources).toContain("src");
    for (const source of sources) {
      expect(exists(source), source).toBe(true);
      expect(admitted, source).toContain(`!${source.split("/")[0]}`);
    }
  });

  test("ends in an image on Node 24 that runs the service, not as root, and can be asked how it is", () => {
    expect(instructions.filter((line) => line.startsWith("FROM ")).every((line) => line.includes("node:24-"))).toBe(
      true,
    );
    expect(lastStage).toContain("USER node");
    expect(lastStage).toContain("STOPSIGNAL SIGTERM");
    expect(lastStage).toContain('CMD ["node", "dist/main.js"]');
    expect(lastStage.some((line) => line.startsWith("HEALTHCHECK ") && line.includes("scripts/health-check.mjs"))).toBe(
      true,
    );
  });

  test("keeps what src/ loads when it runs", async () => {
    const files = await readSourceFiles();
    const loaded = files.flatMap(({ imports }) => imports.filter((line) => line.isPackage && !line.isTypeOnly));
    const packages = new Set(loaded.map(({ target }) => packageOf(target)).filter((name) => !name.startsWith("node:")));
    // The image takes these away after they have done their work, and never has the development ones.
    const absent = ["prisma", "esbuild", ...Object.keys(manifest.devDependencies)];
    expect([...packages].filter((name) => absent.includes(name) || !(name in manifest.dependencies))).toEqual([]);
  });
});

describe("docker-compose.yml", () => {
  const Service = z.object({
    environment: z.record(z.string(), z.string()),
    secrets: z.array(z.string()),
    networks: z.array(z.string()),
    user: z.string(),
    read_only: z.boolean(),
    cap_drop: z.array(z.string()),
    healthcheck: z.object({ test: z.array(z.string()) }),
    volumes: z.array(z.string()).default([]),
    ports: z.array(z.string()).default([]),
    stop_grace_period: z.string().regex(/^\d+s$/),
  });
  const compose = z
    .object({
      services: z.object({ "factory-secrets": Service, postgres: Service.extend({ image: z.string() }) }),
      networks: z.record(z.string(), z.unknown()),
      volumes: z.record(z.string(), z.unknown()),
      secrets: z.record(z.string(), z.object({ file: z.string() })),
    })
    .parse(parse(read("docker-compose.yml")));
  const services = Object.values(compose.services);

  test("names only secrets, networks and volumes that it declares", () => {
    for (const service of services) {
      for (const name of service.secrets) expect(compose.secrets).toHaveProperty(name);
      for (const name of service.networks) expect(compose.networks).toHaveProperty(name);
      for (const volume of service.volumes) expect(compose.volumes).toHaveProperty(volume.split(":")[0] ?? "");
    }
  });

  test("gives the service only settings that it knows, and secrets only as files", () => {
    const { environment } = compose.services["factory-secrets"];
    for (const name of Object.keys(environment)) expect(settingNames).toHaveProperty(name.replace(/_FILE$/, ""));
    expect(environment).toMatchObject({ HOST: "0.0.0.0", FACTORY_SECRETS_KEY_FILE: "/run/secrets/key" });
    expect(Object.keys(environment)).not.toContain("FACTORY_SECRETS_KEY");
    expect(Object.keys(environment)).not.toContain("DATABASE_URL");
  });

  test("runs both with a read-only file system, no capability, not as root, and a health check", () => {
    for (const { user, read_only, cap_drop, healthcheck } of services) {
      expect(user).not.toMatch(/^(root|0)\b/);
      expect({ read_only, cap_drop }).toEqual({ read_only: true, cap_drop: ["ALL"] });
      expect(healthcheck.test[0]).toBe("CMD");
    }
  });

  test("gives the service longer to stop than the drain and what is in flight take", () => {
    const { stop_grace_period: seconds } = compose.services["factory-secrets"];
    expect(Number.parseInt(seconds, 10)).toBeGreaterThanOrEqual(readSettings({}).drainSeconds + 10 + 5);
  });

  test("keeps the data of Postgres 18 where that image has it", () => {
    const { image, volumes } = compose.services.postgres;
    expect({ image, volumes }).toEqual({ image: "postgres:18", volumes: ["postgres:/var/lib/postgresql"] });
  });

  test("listens to this machine only, because TLS stands in front", () => {
    expect(compose.services["factory-secrets"].ports).toEqual(["127.0.0.1:8080:8080"]);
  });
});
