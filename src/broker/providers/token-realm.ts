import { dockerHubApiHost, isDockerHub } from "../../core/normalise-host.js";
import { Problem } from "../../core/problem.js";

/** An operator's permission: credentials for `registryHost` may go to a realm on `realmHost`. */
export type AllowedRealm = { registryHost: string; realmHost: string };

// Registries whose realm is known to be on another host.
const knownRealms: readonly AllowedRealm[] = [
  { registryHost: dockerHubApiHost, realmHost: "auth.docker.io" },
  { registryHost: "registry.gitlab.com", realmHost: "gitlab.com" },
  { registryHost: "nvcr.io", realmHost: "authn.nvidia.com" },
];

/**
 * Judges the realm that a registry named. Credentials go there when it is on the registry's own host (any port: a
 * self-hosted GitLab has its realm on 443 and its registry elsewhere), a known pair, or one that the operator allowed:
 * otherwise whoever runs the registry, or stands in front of it, could have them sent anywhere.
 * @param registry `host` or `host:port` of the registry
 * @throws Problem `upstream-invalid` or `destination-refused`
 */
export function checkedRealm(registry: string, realm: string, allowed: readonly AllowedRealm[]): URL {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined || url.protocol !== "https:" || url.username !== "" || url.password !== "") {
    throw new Problem("upstream-invalid", `${registry} names a token service that is not an https URL.`);
  }
  const registryHost = new URL(`https://${registry}`).hostname;
  const realmHost = url.hostname.replace(/\.$/, "");
  const isAllowed = [...knownRealms, ...allowed].some(
    (pair) => pair.registryHost === registryHost && pair.realmHost === realmHost,
  );
  if (realmHost === registryHost || isAllowed) return url;
  throw new Problem(
    "destination-refused",
    `${registry} wants its credential sent to ${realmHost}, which is not its own host. If that is right, an operator can allow it: FACTORY_SECRETS_ALLOWED_REALMS=${registryHost}=${realmHost}`,
  );
}

/** Where the registry of an entry's host is spoken to: Docker Hub's lives under another name. */
export function apiHostOf(registry: string): string {
  return isDockerHub(registry) ? dockerHubApiHost : registry;
}

/** The name that the registry knows a repository by: an official image of Docker Hub is `library/<name>`. */
export function apiRepositoryOf(registry: string, repository: string): string {
  return isDockerHub(registry) && !repository.includes("/") ? `library/${repository}` : repository;
}
