import { ecrHost } from "../../core/cloud-hosts.js";
import type { GenericEntry } from "../../factory-config/entry.js";
import { mintToken, type ProviderDeps, type Providers } from "./create-providers.js";
import { apiRepositoryOf, findChallenge, readRealmToken, realmUrl } from "./docker/docker-token.js";
import { scopeGranted } from "./docker/token-claims.js";
import { basicAuthorization, parseUserPassword, type UserPassword } from "./docker/user-password.js";
import { type Minted, type MintRequest, secretOf } from "./provider.js";
import { checkRepositoryNames } from "./repository-names.js";

import { secretMalformed, throwUnlessAnswered, upstreamRefused } from "./upstream-reply.js";

/**
 * What opens a registry for requests that the service makes itself. It is never handed out, so it may be the stored
 * credential, or a token that reaches more than the repository that it was asked for.
 */
export type UpstreamCredential = Minted & {
  /** The value of the `Authorization` header; absent where the registry asks for none. */
  authorization?: string;
};

type UpstreamRequest = MintRequest & { host: string; repositories: readonly [string] };

// A stored credential has no end, and the key in the cache names its version: this is how soon the registry is asked
// again how it wants to be spoken to.
const storedSeconds = 3_600;

/**
 * The narrowest credential that the registry makes for pulling from one repository; where it makes none, the broader
 * token, or the stored credential.
 * @throws Problem as providers do; `scope-not-enforceable` when the registry does not grant the pull
 */
export async function mintUpstreamCredential(
  deps: ProviderDeps & { providers: Providers },
  request: UpstreamRequest,
): Promise<UpstreamCredential> {
  const { entry } = request;
  if (entry.type === "generic") return mintFromStored(deps, { ...request, entry });
  // Google's tokens reach the same whatever is asked for.
  const repositories = entry.type === "gar" ? undefined : request.repositories;
  const token = await mintToken(deps.providers, { ...request, repositories, allowBroader: true });
  const { registry, expiresAt, usableUntil, lifeUnstated, scopeEnforcedBy } = token;
  const minted = { registry, expiresAt, scopeEnforcedBy, ...(usableUntil && { usableUntil }) };
  const life = { ...minted, ...(lifeUnstated && { lifeUnstated }) };
  if (token.kind === "bearer") return { ...life, authorization: `Bearer ${token.bearer}` };
  const login = { user: token.username, password: token.password };
  // The public registry takes its password at its realm alone.
  if (ecrHost(request.host)?.public) return exchange(deps, request, request.host, login);
  return { ...life, authorization: basicAuthorization(login) };
}

async function mintFromStored(deps: ProviderDeps, request: UpstreamRequest & { entry: GenericEntry }) {
  const credential = parseUserPassword(secretOf(request).value.revealText());
  if (!credential.ok) throw secretMalformed(request, credential.mistakes);
  checkRepositoryNames(request.repositories);
  return exchange(deps, request, request.host, credential.value);
}

/** What the registry's realm gives for a login; the login itself where there is no realm. */
async function exchange(
  deps: ProviderDeps,
  request: UpstreamRequest,
  registry: string,
  login: UserPassword,
): Promise<UpstreamCredential> {
  const repository = apiRepositoryOf(registry, request.repositories[0]);
  const way = { ...deps, allowedRealms: deps.settings.allowedRealms };
  const challenge = await findChallenge(way, { registry, repositories: [repository] }, request.signal);
  const nowMs = deps.now().getTime();
  const expiresAt = new Date(nowMs + storedSeconds * 1_000);
  const stored = { registry, expiresAt, lifeUnstated: true, scopeEnforcedBy: "none" } as const;
  if (challenge.kind === "none") return stored;
  const authorization = basicAuthorization(login);
  if (challenge.kind === "basic") return { ...stored, authorization };
  const url = realmUrl(challenge.realm, [`repository:${repository}:pull`]);
  const reply = await deps.outbound.request({ url, headers: { authorization }, signal: request.signal });
  throwUnlessAnswered(url.hostname, reply, nowMs);
  if (reply.status !== 200) {
    const advice = "Check user and token, and that they may pull the repository.";
    throw upstreamRefused(request, url.hostname, `status ${reply.status}. ${advice}`);
  }
  const { bearer, claims, life } = readRealmToken(url.hostname, reply, nowMs);
  const { scopeEnforcedBy } = scopeGranted({ allowBroader: true }, registry, [repository], claims);
  return { registry, ...life, scopeEnforcedBy, authorization: `Bearer ${bearer}` };
}
