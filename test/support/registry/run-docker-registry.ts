import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { type ListeningProgram, startListening } from "../programs/start-listening.js";

export type DockerRegistryAuth =
  | { kind: "token"; realm: string; service: string; issuer: string; trustedCaPem: string }
  /** `htpasswd` is the content of the file; bcrypt is the only hash that the registry reads. */
  | { kind: "htpasswd"; htpasswd: string };

/**
 * Runs a real `docker-registry` (distribution 2.x) on a free port of 127.0.0.1, plain HTTP. `publicUrl` is what it
 * calls itself in `Location` headers. Everything it writes stays in `directory`.
 */
export async function runDockerRegistry(options: {
  program: string;
  directory: string;
  publicUrl: string;
  auth: DockerRegistryAuth;
  /** Blobs are not served: clients are sent to where the path of the file is put behind this. */
  redirectTo?: string;
}): Promise<ListeningProgram & { storage: string }> {
  await mkdir(options.directory, { recursive: true });
  const configFile = join(options.directory, "config.yml");
  await writeFile(configFile, stringify(await configOf(options)));
  const program = await startListening({
    program: options.program,
    args: ["serve", configFile],
    listening: /listening on [^ ]*:(\d+)/,
  });
  return { ...program, storage: storageIn(options.directory) };
}

const storageIn = (directory: string): string => join(directory, "storage");

async function configOf(options: {
  directory: string;
  publicUrl: string;
  auth: DockerRegistryAuth;
  redirectTo?: string;
}): Promise<unknown> {
  const { redirectTo } = options;
  return {
    version: "0.1",
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storageIn(options.directory) } },
    ...(redirectTo !== undefined && {
      middleware: { storage: [{ name: "redirect", options: { baseurl: redirectTo } }] },
    }),
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
