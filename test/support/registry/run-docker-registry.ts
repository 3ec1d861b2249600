import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stringify } from "yaml";

export type DockerRegistryAuth =
  | { kind: "token"; realm: string; service: string; issuer: string; trustedCaPem: string }
  /** `htpasswd` is the content of the file; bcrypt is the only hash that the registry reads. */
  | { kind: "htpasswd"; htpasswd: string };

export type DockerRegistry = { port: number; stop(): Promise<void> };

/**
 * Runs a real `docker-registry` (distribution 2.x) on a free port of 127.0.0.1, plain HTTP. `publicUrl` is what it
 * calls itself in `Location` headers. Everything it writes stays in `directory`.
 */
export async function runDockerRegistry(options: {
  program: string;
  directory: string;
  publicUrl: string;
  auth: DockerRegistryAuth;
}): Promise<DockerRegistry> {
  await mkdir(options.directory, { recursive: true });
  const configFile = join(options.directory, "config.yml");
  await writeFile(configFile, stringify(await configOf(options)));
  const child = spawn(options.program, ["serve", configFile], { stdio: ["ignore", "ignore", "pipe"] });
  try {
    return { port: await listeningPort(child), stop: () => stopChild(child) };
  } catch (error) {
    await stopChild(child);
    throw error;
  }
}

async function configOf(options: { directory: string; publicUrl: string; auth: DockerRegistryAuth }): Promise<unknown> {
  return {
    version: "0.1",
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(options.directory, "storage") } },
    // A secret of its own keeps the registry from warning; it protects nothing that outlives the test.
    http: { addr: "127.0.0.1:0", host: options.publicUrl, secret: "not-a-real-secret" },
    auth: await authOf(options.directory, options.auth),
  };
}

async function authOf(directory: string, auth: DockerRegistryAuth): Promise<unknown> {
  switch (auth.kind) {
    case "token": {
      const rootcertbundle = join(directory, "realm-ca.pem");
      await writeFile(rootcertbundle, auth.trustedCaPem);
      return { token: { realm: auth.realm, service: auth.service, issuer: auth.issuer, rootcertbundle } };
    }
    case "htpasswd": {
      const path = join(directory, "htpasswd");
      await writeFile(path, auth.htpasswd);
      return { htpasswd: { realm: "Registry Realm", path } };
    }
    default:
      return auth satisfies never;
  }
}

/** Reads the log until the registry says where it listens. */
async function listeningPort(child: ChildProcess): Promise<number> {
  if (child.stderr === null) throw new Error("docker-registry was started without a log");
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    const port = /listening on [^ ]*:(\d+)/.exec(line)?.[1];
    if (port !== undefined) {
      child.stderr.resume();
      return Number(port);
    }
    said.push(line);
  }
  throw new Error(`docker-registry ended before it listened:\n${said.join("\n")}`);
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
