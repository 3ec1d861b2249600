import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";

/** Where an image is pulled from, by whom. */
export type RelayedImage = {
  /** `host:port` of the relay, which speaks plain HTTP. */
  relay: string;
  factory: string;
  registry: string;
  /** With its tag. */
  image: string;
  token: string;
};

export type RelayClient = (pulled: RelayedImage) => Promise<ProgramResult>;

const programOf = (name: string): string | undefined => process.env[`FACTORY_SECRETS_TEST_${name.toUpperCase()}`];

const nameIn = ({ relay, factory, registry, image }: RelayedImage): string =>
  `${relay}/${factory}/${registry}/${image}`;

/**
 * The programs that are there, each with its own way to log in with a token and pull an image in its whole.
 * @param home - a folder for all that they write
 * @param more - of their environment
 */
export function relayClients(
  home: string,
  more: Readonly<Record<string, string>> = {},
): { clients: Record<string, RelayClient>; missing: string } {
  const environment = { ...more, HOME: home, XDG_RUNTIME_DIR: home, PATH: process.env.PATH ?? "" };
  const all: Record<string, (program: string, pulled: RelayedImage) => Promise<ProgramResult>> = {
    skopeo: async (skopeo, pulled) => {
      const login = ["--src-tls-verify=false", "--src-creds", `job:${pulled.token}`];
      const target = `dir:${await folderIn(home)}`;
      const args = ["--insecure-policy", "copy", ...login, `docker://${nameIn(pulled)}`, target];
      return runProgram(skopeo, args, environment);
    },
    podman: async (podman, pulled) => {
      const login = ["--tls-verify=false", "--creds", `job:${pulled.token}`];
      return runProgram(podman, [...(await podmanPull(home)), ...login, nameIn(pulled)], environment);
    },
    crane: async (crane, pulled) => {
      const folder = await folderIn(home);
      const auths = { [pulled.relay]: { auth: Buffer.from(`job:${pulled.token}`).toString("base64") } };
      await writeFile(join(folder, "config.json"), JSON.stringify({ auths }));
      const args = ["pull", "--insecure", nameIn(pulled), join(folder, "image.tar")];
      return runProgram(crane, args, { ...environment, DOCKER_CONFIG: folder });
    },
    regctl: async (regctl, pulled) => {
      const folder = await folderIn(home);
      const config = join(folder, "config.json");
      const hosts = { [pulled.relay]: { tls: "disabled", user: "job", pass: pulled.token } };
      await writeFile(config, JSON.stringify({ hosts }));
      const args = ["image", "copy", nameIn(pulled), `ocidir://${folder}/image:1`];
      return runProgram(regctl, args, { ...environment, REGCTL_CONFIG: config });
    },
    oras: async (oras, pulled) => {
      const login = ["--from-plain-http", "--from-username", "job", "--from-password", pulled.token];
      const target = ["--to-oci-layout", `${await folderIn(home)}:1`];
      return runProgram(oras, ["cp", ...login, nameIn(pulled), ...target], environment);
    },
    ctr: (ctr, pulled) => pullWithContainerd(ctr, home, pulled),
  };
  const clients: Record<string, RelayClient> = {};
  const missing: string[] = [];
  for (const [name, pull] of Object.entries(all)) {
    const program = programOf(name);
    if (program === undefined) missing.push(`FACTORY_SECRETS_TEST_${name.toUpperCase()}`);
    else clients[name] = (pulled) => pull(program, pulled);
  }
  return { clients, missing: missing.length === 0 ? "" : ` (not tried, as they are not named: ${missing.join(", ")})` };
}

/** `podman pull`, up to its name, with a storage of its own. */
export async function podmanPull(home: string): Promise<string[]> {
  const { storage, policy } = await podmanStorage(home);
  return [...storage, "pull", "--quiet", "--signature-policy", policy];
}

/** Arguments of podman for a storage of its own, and a policy that takes every image. */
export async function podmanStorage(home: string): Promise<{ storage: readonly string[]; policy: string }> {
  const folder = await folderIn(home);
  const policy = join(folder, "policy.json");
  await writeFile(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
  const storage = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  return { storage, policy };
}

export const folderIn = (home: string): Promise<string> => mkdtemp(join(home, "of-a-program-"));

/**
 * containerd itself fetches the image under its own name: the relay is a mirror of `hosts.toml`, so it is asked with
 * `?ns=`. Each time with a new daemon, which has nothing in its store.
 */
async function pullWithContainerd(ctr: string, home: string, pulled: RelayedImage): Promise<ProgramResult> {
  const { relay, factory, registry, image, token } = pulled;
  const folder = await folderIn(home);
  const hosts = join(folder, "hosts");
  await mkdir(join(hosts, registry), { recursive: true });
  const url = `http://${relay}/v2/${factory}`;
  await writeFile(
    join(hosts, registry, "hosts.toml"),
    `server = "${url}"\noverride_path = true\n[host."${url}"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n`,
  );
  const socket = join(folder, "socket");
  const config = join(folder, "config.toml");
  await writeFile(
    config,
    `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\n[grpc]\n  address = "${socket}"\n[ttrpc]\n  address = "${socket}.ttrpc"\n`,
  );
  const daemon = spawn("containerd", ["--config", config], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(daemon, "exit");
  try {
    for await (const line of createInterface({ input: daemon.stderr })) if (line.includes("booted")) break;
    daemon.stderr.resume();
    const login = ["--hosts-dir", hosts, "--user", `job:${token}`];
    return await runProgram(ctr, ["--address", socket, "content", "fetch", ...login, `${registry}/${image}`], {
      PATH: process.env.PATH ?? "",
    });
  } finally {
    daemon.kill("SIGTERM");
    await exited;
  }
}
