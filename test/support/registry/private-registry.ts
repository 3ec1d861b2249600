import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestCertificateAuthority, type TestCertificateAuthority } from "../certificates.js";
import type { CloudReply, CloudRequest } from "../clouds/cloud-endpoint.js";
import { type ProgramResult, runProgram } from "../programs/run-to-end.js";
import type { ListeningProgram } from "../programs/start-listening.js";
import { type ConnectProxy, startConnectProxy } from "./connect-proxy.js";
import { ageToken, answerRegistryRealm, type Judge, type RegistryRealmOptions } from "./registry-realm.js";
import { type DockerRegistryAuth, runDockerRegistry } from "./run-docker-registry.js";
import { writeTinyImage } from "./tiny-image.js";
import { startTlsFront, type TlsFront } from "./tls-front.js";

export type PrivateRegistryOptions = {
  /** The public name, served on port 443 as far as every client can tell. */
  host: string;
  programs: { dockerRegistry: string; skopeo: string };
  /** Who judges the logins of a token realm at `https://<host>/token`, or the content of an htpasswd file. */
  auth: { kind: "token"; judge: Judge } | { kind: "htpasswd"; htpasswd: string };
  /** Where the registry sends clients for blobs; without one it serves them itself. */
  storageHost?: string;
};

export type PrivateRegistry = {
  host: string;
  /** What a client has to trust. */
  caPem: string;
  /** Its value for `FACTORY_SECRETS_CONNECT_TO`. */
  connectTo: string;
  /** What leads any client there, which then verifies the real name. */
  clientEnvironment: Readonly<Record<string, string>>;
  /** Pushes an image with one empty layer as `<repository>:1`, with a user and password. */
  push(repository: string, login: { user: string; password: string }): Promise<ProgramResult>;
  /** The same with further arguments of `skopeo copy` in place of a password. */
  pushWith(repository: string, destinationArguments: readonly string[]): Promise<ProgramResult>;
  /** Pulls `<repository>:1` into a new folder, with further arguments of `skopeo copy` such as a login or a bearer. */
  pull(repository: string, sourceArguments: readonly string[]): Promise<ProgramResult>;
  /** A token of the realm as it is after an hour, when it has expired. */
  expired(token: string): string;
  /** Writes a file beside the registry's own, readable by this user only, and gives back its path. */
  writeFile(name: string, content: string): Promise<string>;
  close(): Promise<void>;
};

const realmPath = "/token";

/**
 * A real docker-registry under a public name: TLS in front, for the token kind a realm on the same host, and `skopeo`
 * led there by a proxy, so that it verifies the real name. Everything lies in a folder of its own until `close`.
 */
export async function startPrivateRegistry(options: PrivateRegistryOptions): Promise<PrivateRegistry> {
  const { host, programs, storageHost } = options;
  const directory = await mkdtemp(join(tmpdir(), "private-registry-"));
  const authority = await createTestCertificateAuthority();
  const { realm, auth } = await authenticationOf(options, authority);
  const registry = await runDockerRegistry({
    program: programs.dockerRegistry,
    directory: join(directory, "registry"),
    publicUrl: `https://${host}`,
    auth,
    ...(storageHost !== undefined && { redirectTo: `https://${storageHost}` }),
  });
  const hosts = [host, ...(storageHost === undefined ? [] : [storageHost])];
  const front = await startTlsFront({
    authority,
    hosts,
    upstreamPort: registry.port,
    answer: (request) => {
      if (request.host === storageHost) return answerFromStorage(registry.storage, request);
      return realm !== undefined && request.path === realmPath ? answerRegistryRealm(realm, request) : undefined;
    },
  });
  const proxy = await startConnectProxy(Object.fromEntries(hosts.map((name) => [name, front.port])));
  const caFile = join(directory, "ca.pem");
  await writeFile(caFile, authority.caPem);
  const clientEnvironment = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: caFile };
  await writeTinyImage(join(directory, "image"), "1");
  return {
    host,
    caPem: authority.caPem,
    connectTo: hosts.map((name) => `${name}:443=127.0.0.1:${front.port}`).join(","),
    clientEnvironment,
    ...skopeoCommands(programs.skopeo, host, directory, clientEnvironment),
    expired: (token) => (realm === undefined ? token : ageToken(realm, token, 3_600)),
    writeFile: async (name, content) => {
      const path = join(directory, name);
      await writeFile(path, content, { mode: 0o600 });
      return path;
    },
    close: () => closeAll(registry, front, proxy, directory),
  };
}

/** As a cloud's storage does, which knows nothing of registries: it takes no `Authorization` beside the signature. */
async function answerFromStorage(folder: string, { path, headers }: CloudRequest): Promise<CloudReply> {
  if (headers.authorization !== undefined) return { status: 400, body: "one way to authenticate is enough" };
  return { status: 200, body: await readFile(join(folder, path)) };
}

/** How the registry authenticates, and for the token kind the realm that it trusts. */
async function authenticationOf(
  { host, auth }: PrivateRegistryOptions,
  authority: TestCertificateAuthority,
): Promise<{ auth: DockerRegistryAuth; realm?: RegistryRealmOptions }> {
  if (auth.kind === "htpasswd") return { auth };
  const issuer = `${host} realm`;
  const signer = await authority.issue([host]);
  return {
    auth: { kind: "token", realm: `https://${host}${realmPath}`, service: host, issuer, trustedCaPem: authority.caPem },
    realm: { issuer, service: host, signer, judge: auth.judge, lifetimeSeconds: 300 },
  };
}

function skopeoCommands(
  skopeo: string,
  host: string,
  directory: string,
  environment: Readonly<Record<string, string>>,
): Pick<PrivateRegistry, "push" | "pushWith" | "pull"> {
  // A home of its own keeps the logins of the one who runs the test out of it.
  const inOwnHome = { ...environment, HOME: directory, XDG_RUNTIME_DIR: directory };
  const copy = (args: readonly string[]) => runProgram(skopeo, ["--insecure-policy", "copy", ...args], inOwnHome);
  const pushWith: PrivateRegistry["pushWith"] = (repository, destinationArguments) =>
    copy([...destinationArguments, `oci:${join(directory, "image")}:1`, `docker://${host}/${repository}:1`]);
  return {
    pushWith,
    push: (repository, { user, password }) => pushWith(repository, ["--dest-creds", `${user}:${password}`]),
    pull: async (repository, sourceArguments) => {
      const target = await mkdtemp(join(directory, "pulled-"));
      return copy([...sourceArguments, `docker://${host}/${repository}:1`, `dir:${target}`]);
    },
  };
}

async function closeAll(
  registry: ListeningProgram,
  front: TlsFront,
  proxy: ConnectProxy,
  directory: string,
): Promise<void> {
  await proxy.close();
  await front.close();
  await registry.stop();
  await rm(directory, { recursive: true, force: true });
}
