import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";
import type { PrivateRegistry } from "../../support/registry/private-registry.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";

const dockerRegistry = process.env.FACTORY_SECRETS_TEST_DOCKER_REGISTRY;
const skopeo = process.env.FACTORY_SECRETS_TEST_SKOPEO;

export const isMissing = dockerRegistry === undefined || skopeo === undefined;
export const whyMissing = isMissing
  ? " (skipped: FACTORY_SECRETS_TEST_DOCKER_REGISTRY and FACTORY_SECRETS_TEST_SKOPEO do not name the programs)"
  : "";
export const programs = { dockerRegistry: dockerRegistry ?? "", skopeo: skopeo ?? "" };

export const docker = process.env.FACTORY_SECRETS_TEST_DOCKER;
export const withoutDocker = docker === undefined ? " (skipped: FACTORY_SECRETS_TEST_DOCKER does not name docker)" : "";

export const podman = process.env.FACTORY_SECRETS_TEST_PODMAN;
export const withoutPodman = podman === undefined ? " (skipped: FACTORY_SECRETS_TEST_PODMAN does not name podman)" : "";

const bin = fileURLToPath(new URL("../../../bin", import.meta.url));

/** A job's machine with our helper in PATH, as an installed package puts it there. */
export function openRegistryMachine(registry: PrivateRegistry, environment: Record<string, string>): JobMachine {
  const machine = openJobMachine({ ...environment, ...registry.clientEnvironment });
  const folder = join(machine.home, "bin");
  mkdirSync(folder);
  for (const name of ["factory-secrets", "docker-credential-factory-secrets"])
    symlinkSync(join(bin, `${name}.mjs`), join(folder, name));
  machine.environment.PATH = [folder, dirname(process.execPath), process.env.PATH].join(delimiter);
  // Where skopeo looks for logins, beside the home.
  const run = join(machine.home, "run");
  mkdirSync(run);
  machine.environment.XDG_RUNTIME_DIR = run;
  return machine;
}

/** `skopeo copy` of `<repository>:1` into a folder of the machine, with the machine's own logins or these arguments. */
export const copyImage = (
  machine: JobMachine,
  registry: PrivateRegistry,
  repository: string,
  args: readonly string[] = [],
): Promise<ProgramResult> =>
  runProgram(
    programs.skopeo,
    [
      "--insecure-policy",
      "copy",
      ...args,
      `docker://${registry.host}/${repository}:1`,
      `dir:${join(machine.home, "image")}`,
    ],
    machine.environment,
  );

/** `podman pull` into a storage of the machine, with the machine's own logins. */
export function pullImage(machine: JobMachine, registry: PrivateRegistry, repository: string): Promise<ProgramResult> {
  const folder = join(machine.home, "podman");
  mkdirSync(folder, { recursive: true });
  const policy = join(folder, "policy.json");
  writeFileSync(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
  const storage = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  const pull = ["pull", "--quiet", "--signature-policy", policy, `${registry.host}/${repository}:1`];
  return runProgram(podman ?? "", [...storage, ...pull], machine.environment);
}

/** `docker manifest inspect`, which needs no daemon. */
export const inspectManifest = (
  machine: JobMachine,
  registry: PrivateRegistry,
  repository: string,
): Promise<ProgramResult> =>
  runProgram(docker ?? "", ["manifest", "inspect", `${registry.host}/${repository}:1`], machine.environment);
