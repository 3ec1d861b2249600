import { createHash } from "node:crypto";
import { dockerHubHost, normaliseHost } from "../../../core/normalise-host.js";
import { isObject, type JsonObject, objectAt, textAt } from "../../client/json-value.js";
import type { Credential } from "../registry-token.js";
import type { DockerConfig } from "./config-file.js";

/** docker's own key for Docker Hub in a config.json (docker/cli, cli/config/configfile). */
const dockerHubKey = "https://index.docker.io/v1/";

/** The member of `auths` and of `credHelpers` that docker looks for. */
export const keyOfHost = (host: string): string => (host === dockerHubHost ? dockerHubKey : host);

/** The registry that docker means, who may say it as a URL; `undefined` for what is no host. */
export function hostOfKey(key: string): string | undefined {
  const whole = normaliseHost(key);
  if (whole.ok) return whole.host;
  const found = normaliseHost(key.replace(/^https?:\/\//i, "").replace(/[/?#].*$/, ""));
  return found.ok ? found.host : undefined;
}

/**
 * What stands in `auths`: `auth` for a user and password. `registrytoken` is a bearer, which docker, BuildKit, buildx
 * and crane read (docker/cli, cli/config/types AuthConfig).
 */
export function authOf(credential: Credential): JsonObject {
  return credential.kind === "bearer"
    ? { registrytoken: credential.bearer }
    : { auth: basicOf(credential.username, credential.password) };
}

export const basicOf = (username: string, password: string): string =>
  Buffer.from(`${username}:${password}`, "utf8").toString("base64");

export type RegistryLogin = { registry: string } & Credential;

/** Adds an entry for each token, in place of what stands there for that registry. */
export function withAuths(config: DockerConfig, tokens: readonly RegistryLogin[]): DockerConfig {
  const added = Object.fromEntries(tokens.map((token) => [keyOfHost(token.registry), authOf(token)]));
  return { ...config, auths: { ...objectAt(config, "auths"), ...added } };
}

/** Tells an entry apart from another without holding it: the SHA-256 of its credential, in hex. */
export function markOf(entry: unknown): string | undefined {
  const credential = isObject(entry) ? (textAt(entry, "auth") ?? textAt(entry, "registrytoken")) : undefined;
  return credential === undefined ? undefined : createHash("sha256").update(credential).digest("hex");
}
