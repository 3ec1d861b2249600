import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { awsUser, type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { runProgram } from "../../support/programs/run-to-end.js";

// Each generator runs without options, what it makes is compiled, and the scenario runs against the service.

const jar = process.env.FACTORY_SECRETS_TEST_OPENAPI_GENERATOR;
const oapiCodegen = process.env.FACTORY_SECRETS_TEST_OAPI_CODEGEN;
/** A folder with openapi-typescript, openapi-fetch and TypeScript in its node_modules. */
const openapiTypescript = process.env.FACTORY_SECRETS_TEST_OPENAPI_TYPESCRIPT;

const document = fileURLToPath(new URL("../../../openapi.yaml", import.meta.url));
const scenarios = fileURLToPath(new URL("scenarios/", import.meta.url));
const account = { accountId: "123456789012", region: "us-east-2" };
const registry = `${account.accountId}.dkr.ecr.${account.region}.amazonaws.com`;
const user = awsUser("generated");

const Outcome = z.object({
  secret: z.number(),
  config: z.number(),
  username: z.string(),
  number: z.number(),
  problem: z.string(),
  events: z.number(),
  pages: z.number(),
});

let broker: BrokeredFactory;
let directory: string;

beforeAll(async () => {
  broker = await startBrokeredFactory(({ aws }) => {
    aws.addRegistry(account.accountId, account.region);
    aws.iam.addUser({ ...account, userName: "ci-pull", ...user });
  });
});
afterAll(() => broker?.close());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "generated-client-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Runs a program of a tool chain in the directory, with the caches of this user. @throws with what it printed */
async function run(program: string, ...args: string[]): Promise<string> {
  const ran = promisify(execFile)(program, args, { cwd: directory, maxBuffer: 64 * 1024 * 1024 });
  const { stdout } = await ran.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${program} ${args.join(" ")}:\n${error.stdout.slice(-4000)}\n${error.stderr.slice(-4000)}`);
  });
  return stdout;
}

const generate = (language: string) =>
  run("java", "-jar", jar ?? "", "generate", "-g", language, "-i", document, "-o", directory);

/** What the compiled scenario prints. */
async function outcomeOf(program: string, ...args: string[]): Promise<unknown> {
  const { exitCode, stdout, stderr } = await runProgram(program, args, {
    PATH: process.env.PATH ?? "",
    HOME: directory,
    FS_URL: broker.service.url,
    FS_TOKEN: broker.service.operatorToken,
    FS_FACTORY: `f-${randomBytes(4).toString("hex")}`,
    FS_SECRET: `[default]\n${user.section}`,
    FS_CONFIG: `container_registries:\n- type: aws\n  region: ${account.region}\n  aws_creds_secret_name: aws_creds\n`,
    FS_REGISTRY: registry,
    FS_ISSUER: "https://token.actions.githubusercontent.com",
  });
  if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}:\n${stdout}\n${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

async function expectScenario(program: string, ...args: string[]): Promise<void> {
  const { events, pages, ...outcome } = Outcome.parse(await outcomeOf(program, ...args));
  expect(outcome).toEqual({ secret: 1, config: 1, username: "AWS", number: 123456789, problem: "not-found" });
  expect(events).toBeGreaterThanOrEqual(5);
  expect(pages).toBe(Math.ceil(events / 2));
}

const withoutGenerator = jar === undefined;
const withoutGo = spawnSync("go", ["version"]).status !== 0;
const why = (name: string, isMissing: boolean) =>
  isMissing ? `${name} (skipped: ${name} is not installed, see CONTRIBUTING.md)` : name;

// With empty caches the tool chains download what the clients depend on.
describe("a client generated from openapi.yaml without options", { timeout: 300_000 }, () => {
  it.skipIf(withoutGenerator || withoutGo)(why("openapi-generator go", withoutGenerator || withoutGo), async () => {
    await generate("go");
    await mkdir(join(directory, "scenario"));
    await cp(join(scenarios, "go/main.go"), join(directory, "scenario/main.go"));
    await run("go", "mod", "tidy");
    await run("go", "build", "-o", "run-scenario", "./scenario");
    await expectScenario(join(directory, "run-scenario"));
  });

  it.skipIf(withoutGenerator)(why("openapi-generator java", withoutGenerator), async () => {
    await generate("java");
    await cp(join(scenarios, "java/Scenario.java"), join(directory, "src/main/java/Scenario.java"));
    await run("mvn", "-q", "-B", "-DskipTests", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath");
    const classpath = `${join(directory, "target/classes")}:${(await readFile(join(directory, "classpath"), "utf8")).trim()}`;
    await expectScenario("java", "-cp", classpath, "Scenario");
  });

  it.skipIf(withoutGenerator)(why("openapi-generator python", withoutGenerator), async () => {
    await generate("python");
    await run("python3", "-m", "venv", "venv");
    await run("venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt");
    await cp(join(scenarios, "python/scenario.py"), join(directory, "scenario.py"));
    await expectScenario(join(directory, "venv/bin/python"), join(directory, "scenario.py"));
  });

  it.skipIf(withoutGenerator)(why("openapi-generator typescript-fetch", withoutGenerator), async () => {
    await generate("typescript-fetch");
    const generated = (await readdir(directory)).filter((name) => !name.startsWith("."));
    await mkdir(join(directory, "client"));
    for (const name of generated) await cp(join(directory, name), join(directory, "client", name), { recursive: true });
    await cp(join(scenarios, "typescript/scenario.ts"), join(directory, "scenario.ts"));
    const tsc = fileURLToPath(new URL("../../../node_modules/typescript/bin/tsc", import.meta.url));
    await compileTypeScript(tsc);
    await expectScenario(process.execPath, join(directory, "scenario.mjs"));
  });

  it.skipIf(!oapiCodegen)(why("oapi-codegen", !oapiCodegen), async () => {
    await mkdir(join(directory, "api"));
    await writeFile(join(directory, "go.mod"), "module example.com/client\n\ngo 1.22\n");
    await writeFile(join(directory, "api/api.go"), await run(oapiCodegen ?? "", document));
    await cp(join(scenarios, "oapi-codegen/main.go"), join(directory, "main.go"));
    await run("go", "mod", "tidy");
    await run("go", "build", "-o", "run-scenario", ".");
    await expectScenario(join(directory, "run-scenario"));
  });

  it.skipIf(!openapiTypescript)(why("openapi-typescript", !openapiTypescript), async () => {
    const modules = join(openapiTypescript ?? "", "node_modules");
    await cp(modules, join(directory, "node_modules"), { recursive: true });
    const cli = join(directory, "node_modules/openapi-typescript/bin/cli.js");
    await run(process.execPath, cli, document, "--output", "client.ts");
    await cp(join(scenarios, "openapi-typescript/scenario.ts"), join(directory, "scenario.ts"));
    await compileTypeScript(join(directory, "node_modules/typescript/bin/tsc"));
    await expectScenario(process.execPath, join(directory, "scenario.mjs"));
  });
});

/** Checks the types as strictly as a project of its user would, then makes one program of it. */
async function compileTypeScript(tsc: string): Promise<void> {
  const compilerOptions = {
    ...{ target: "es2022", module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom", "dom.iterable"] },
    ...{ strict: true, noEmit: true, skipLibCheck: true, types: [] },
  };
  await writeFile(
    join(directory, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["scenario.ts", "env.d.ts"] }),
  );
  await writeFile(join(directory, "env.d.ts"), "declare const process: { env: Record<string, string | undefined> };\n");
  await run(process.execPath, tsc, "-p", "tsconfig.json");
  await build({
    entryPoints: [join(directory, "scenario.ts")],
    outfile: join(directory, "scenario.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
  });
}
