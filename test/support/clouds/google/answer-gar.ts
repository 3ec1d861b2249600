import type { Clock } from "../clock.js";
import { basicOf, bearerOf, type CloudReply, type CloudRequest } from "../cloud-endpoint.js";
import { parseRegistryPath, registryError, servedReply } from "../registry-v2.js";
import type { IssuedGoogleToken, ServiceAccountRecord } from "./answer-google-token.js";

export type GarDeps = {
  clock: Clock;
  accounts: ReadonlyMap<string, ServiceAccountRecord>;
  tokens: ReadonlyMap<string, IssuedGoogleToken>;
};

/**
 * Answers an Artifact Registry host. The access token opens it as a password of `oauth2accesstoken` or as a bearer;
 * what it reaches is decided by the account's rights alone.
 * Source: Artifact Registry documentation, "Set up authentication for Docker".
 */
export function answerGar(deps: GarDeps, request: CloudRequest): CloudReply {
  const path = parseRegistryPath(request.path);
  if (path === undefined || request.method !== "GET") return registryError(404, "NAME_UNKNOWN", "not served here");
  const basic = basicOf(request);
  const presented = basic?.user === "oauth2accesstoken" ? basic.password : bearerOf(request);
  const token = deps.tokens.get(presented ?? "");
  if (token === undefined || token.expiresAt <= deps.clock.now()) {
    const challenge = `Bearer realm="https://${request.host}/v2/token",service="${request.host}"`;
    return registryError(401, "UNAUTHORIZED", "Unauthenticated request.", { "www-authenticate": challenge });
  }
  const account = deps.accounts.get(token.email);
  const wanted = `${request.host}/${path.repository ?? ""}`;
  const mayRead =
    path.repository === undefined || account?.readable.some((prefix) => wanted.startsWith(prefix)) === true;
  return mayRead
    ? servedReply(path)
    : registryError(403, "DENIED", "Permission artifactregistry.repositories.downloadArtifacts denied.");
}
