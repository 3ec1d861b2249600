import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FactoryForJobs, passwordHost, startFactoryForJobs } from "../factory-for-jobs.js";

let factory: FactoryForJobs;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  // An entry without a host covers all hosts of its cloud; its id is "azure".
  await factory.putConfig("container_registries:\n- type: azure\n  azure_principal_secret_name: azprincipal\n");
});
afterAll(() => factory?.close());

async function inJob(registry: string, image: string, command: readonly string[]) {
  const grants = [{ registry, repositories: ["acme/base"] }];
  const machine = await factory.machine((await factory.openJob({ grants })).token);
  try {
    const tree = join(machine.home, "tree");
    mkdirSync(tree, { recursive: true });
    writeFileSync(join(tree, "Dockerfile"), `FROM ${image}\n`);
    const done = await machine.run([...command, tree]);
    return { ...done, written: machine.files().some((name) => name.endsWith("config.json")) };
  } finally {
    machine.close();
  }
}

const login = ["ci", "login", "--for"];
const check = ["check", "--output", "json", "--dir"];

describe.each(["azure", passwordHost, passwordHost.toUpperCase(), `${passwordHost}:443`])(
  "a grant of %s",
  (registry) => {
    test("is for an image of that registry", async () => {
      const image = `${passwordHost}/acme/base:single`;
      expect(await inJob(registry, image, login)).toMatchObject({ exitCode: 0, written: true });
      const { items } = JSON.parse((await inJob(registry, image, check)).stdout);
      expect(items).toMatchObject([{ outcome: "ok", entry: "azure" }]);
    });

    test("that does not reach the repository is a refusal, and not a registry without a login", async () => {
      const image = `${passwordHost}/acme/app:single`;
      const done = await inJob(registry, image, login);
      expect(done).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("outside-grants"), written: false });
      const { items } = JSON.parse((await inJob(registry, image, check)).stdout);
      expect(items).toMatchObject([{ outcome: "refused", fails: true, code: "outside-grants" }]);
    });

    test("is for no other registry", async () => {
      const image = "ghcr.io/acme/base:single";
      const done = await inJob(registry, image, login);
      expect(done).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("Nothing in"), written: false });
      const { items } = JSON.parse((await inJob(registry, image, check)).stdout);
      expect(items).toMatchObject([{ outcome: "not-covered" }]);
    });
  },
);
