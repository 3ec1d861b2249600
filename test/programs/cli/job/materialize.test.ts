import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bearerHost, type FactoryForJobs, passwordHost, startFactoryForJobs } from "./factory-for-jobs.js";
import type { JobMachine } from "./job-machine.js";

// Delivered, so it stands on the job's machine: not for the leak watch.
const deployKey = "not-a-real-secret-line-1\nnot-a-real-secret-line-2\n";

let factory: FactoryForJobs;
let machine: JobMachine;
let directory: string;
beforeAll(async () => {
  factory = await startFactoryForJobs();
  const operator = factory.service.as(factory.service.operatorToken);
  const put = operator.put(`/v1/factories/${factory.factory.name}/secrets/deploy_key`);
  await put.send({ value: deployKey, deliverToJobs: true });
});
afterAll(() => factory?.close());
beforeEach(async () => {
  machine = await factory.machine();
  directory = join(machine.home, "secrets");
});
afterEach(() => machine.close());

const materialize = (...args: string[]) => machine.run(["ci", "materialize", "--dir", directory, ...args]);
const read = (name: string): string => readFileSync(join(directory, name), "utf8");

describe("ci materialize", () => {
  test("writes the list, a user:token file for each registry that it can, and the delivered secrets", async () => {
    const done = await materialize("--allow-partial");
    expect(done).toMatchObject({ exitCode: 0, stdout: "container-registries\nregistry-1\ndeploy_key\n" });
    expect(JSON.parse(read("container-registries"))).toEqual([
      { type: "generic", url: passwordHost, generic_secret_name: "registry-1" },
    ]);
    expect(read("registry-1")).toMatch(/^00000000-0000-0000-0000-000000000000:[^:\s]+$/);
    expect(read("deploy_key")).toBe(deployKey);
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    expect(done.stderr).toContain(`${bearerHost} gave no token:`);
    expect(`${done.stdout}${done.stderr}`).not.toContain(read("registry-1").split(":")[1]);
  });

  test("says which registries cannot be written, and writes nothing without --allow-partial", async () => {
    const refused = await materialize();
    expect(refused).toMatchObject({ exitCode: 5, stdout: "" });
    expect(refused.stderr).toContain(bearerHost);
    expect(() => readdirSync(directory)).toThrow();
  });

  test("never writes over what somebody else has put there", async () => {
    mkdirSync(directory);
    writeFileSync(join(directory, "deploy_key"), "theirs");
    const refused = await materialize("--allow-partial");
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain(`${join(directory, "deploy_key")}. Nothing was written.`);
    expect(readdirSync(directory)).toEqual(["deploy_key"]);
    const kept = await materialize("--allow-partial", "--keep-existing");
    expect(kept).toMatchObject({ exitCode: 0, stdout: "container-registries\nregistry-1\n" });
    expect(read("deploy_key")).toBe("theirs");
  });

  test("run again it renews its own files, removes those that are gone, and leaves one that was changed since", async () => {
    await materialize("--allow-partial");
    const again = await materialize("--allow-partial");
    expect(again).toMatchObject({ exitCode: 0 });
    writeFileSync(join(directory, "deploy_key"), "changed by the job");
    const narrow = await materialize("--registry", passwordHost);
    expect(narrow.stderr).toContain("deploy_key. Nothing was written.");
    const without = await factory.openJob({ deliverSecrets: false });
    const environment = { FACTORY_SECRETS_TOKEN: without.token };
    const args = ["ci", "materialize", "--dir", directory, "--allow-partial"];
    expect(await machine.run(args, { environment })).toMatchObject({ exitCode: 0 });
    expect(read("deploy_key")).toBe("changed by the job");
    writeFileSync(join(directory, "deploy_key"), deployKey);
    await materialize("--allow-partial");
    const gone = await machine.run(args, { environment });
    expect(gone.stderr).toContain("deploy_key: removed");
    expect(readdirSync(directory)).not.toContain("deploy_key");
  });

  test("masks each token and each delivered secret on GitHub, before anything else is said", async () => {
    const { stderr } = await machine.run(["ci", "materialize", "--dir", directory, "--allow-partial"], {
      environment: { GITHUB_ACTIONS: "true" },
    });
    const lines = stderr.split("\n");
    const token = read("registry-1").split(":")[1];
    expect(lines).toContain(`::add-mask::${token}`);
    expect(lines).toContain("::add-mask::not-a-real-secret-line-1%0Anot-a-real-secret-line-2");
    expect(lines.findLastIndex((line) => line.startsWith("::add-mask::"))).toBeLessThan(
      lines.findIndex((line) => line.startsWith("Written to")),
    );
  });
});
