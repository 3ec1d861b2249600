import { Problem } from "../../../core/problem.js";
import type { AzureEntry } from "../../../factory-config/entry.js";
import { azureAudience } from "../../../federation/sign-assertion.js";
import type { OutboundReply } from "../../../outbound/outbound.js";
import { type CloudOutbound, onlyToHosts } from "../cloud-hosts.js";
import { defaultTokenSeconds } from "../docker/docker-token.js";
import { readTokenClaims, scopeGranted } from "../docker/token-claims.js";
import { type MintedToken, type MintRequest, type RegistryProvider, secretOf } from "../provider.js";
import { checkRepositoryNames } from "../repository-names.js";
import { endAfter, lifeOf } from "../token-life.js";
import { readJson, throwUnlessAnswered, upstreamRefused } from "../upstream-reply.js";
import {
  acrAccessReply,
  askAcrWithPassword,
  askAcrWithRefreshToken,
  readAcrHost,
  readAzurePrincipal,
} from "./acr-token.js";
import { clientAssertion, clientWithSecret, type EntraClient, exchangeForRefreshToken } from "./entra.js";
import { isAzureHostFor } from "./hosts.js";
import type { AzurePrincipal } from "./principal.js";

export type AzureDeps = { outbound: CloudOutbound; now: () => Date };

const refreshTokenUser = "00000000-0000-0000-0000-000000000000";
const refreshTokenSeconds = 3 * 3_600;

/**
 * Azure Container Registry. Without a tenant (path A) the registry's token service takes the principal's id and
 * password and gives a bearer for the named repositories. With a tenant (path C) Microsoft Entra vouches for the
 * principal: without repositories a refresh token is handed out as a password, with repositories a bearer made from it.
 */
export function createAzureProvider(deps: AzureDeps): RegistryProvider<AzureEntry> {
  const nowMs = () => deps.now().getTime();

  async function mint(request: MintRequest<AzureEntry>): Promise<MintedToken> {
    const host = readAcrHost(request);
    const signIn = readSignIn(request, host);
    const { repositories } = request;
    checkRepositoryNames(repositories ?? []);
    const outbound = onlyToHosts(deps.outbound, "Azure", (candidate) => isAzureHostFor(host, candidate));
    if (signIn.tenantId === undefined) {
      if (repositories === undefined) throw repositoriesRequired(request);
      const scopes = pullScopes(repositories);
      const reply = await askAcrWithPassword({ outbound, signal: request.signal }, { host, scopes }, signIn.principal);
      return bearerOf(request, { host, repositories }, reply, nowMs());
    }
    const refreshToken = await exchangeForRefreshToken({ outbound, nowMs }, request, { host, ...signIn });
    if (repositories === undefined) return passwordOf(host, refreshToken, nowMs());
    const wanted = { host, scopes: pullScopes(repositories) };
    const reply = await askAcrWithRefreshToken({ outbound, signal: request.signal }, wanted, refreshToken);
    return bearerOf(request, { host, repositories }, reply, nowMs());
  }

  return { mint };
}

/** With a tenant how to sign in to Entra, without one the principal whose password the registry takes itself. */
type SignIn = ({ tenantId: string } & EntraClient) | { tenantId: undefined; principal: AzurePrincipal };

function readSignIn(request: MintRequest<AzureEntry>, host: string): SignIn {
  const { entry, assert } = request;
  if (entry.clientId !== undefined && entry.tenantId !== undefined) {
    const { clientId, tenantId } = entry;
    return { tenantId, clientId, prove: async () => clientAssertion(await assert(azureAudience(host))) };
  }
  const { principal, tenantId } = readAzurePrincipal({ entry, secret: secretOf(request) });
  return tenantId === undefined ? { tenantId, principal } : { tenantId, ...clientWithSecret(principal) };
}

type Wanted = { host: string; repositories: readonly string[] };

function bearerOf(
  request: MintRequest<AzureEntry>,
  { host, repositories }: Wanted,
  reply: OutboundReply,
  nowMs: number,
): MintedToken {
  throwUnlessAnswered(host, reply, nowMs);
  if (reply.status !== 200) {
    throw upstreamRefused(
      request,
      host,
      `status ${reply.status}. Check the principal's id and password, and that it has the role AcrPull.`,
    );
  }
  const { access_token, expires_in } = readJson(host, reply, acrAccessReply);
  const claims = readTokenClaims(access_token);
  const ends = [endAfter(nowMs, expires_in), claims.expiresAtMs];
  const life = lifeOf(host, nowMs, ends, defaultTokenSeconds);
  const scope = scopeGranted(request, host, repositories, claims);
  return {
    registry: host,
    type: "azure",
    kind: "bearer",
    bearer: access_token,
    ...life,
    ...scope,
    revocable: false,
  };
}

function passwordOf(host: string, refreshToken: string, nowMs: number): MintedToken {
  const { expiresAtMs } = readTokenClaims(refreshToken);
  return {
    registry: host,
    type: "azure",
    kind: "password",
    username: refreshTokenUser,
    password: refreshToken,
    ...lifeOf(host, nowMs, [expiresAtMs], refreshTokenSeconds),
    scopeEnforcedBy: "none",
    revocable: false,
  };
}

function pullScopes(repositories: readonly string[]): string[] {
  return repositories.map((name) => `repository:${name}:pull`);
}

function repositoriesRequired(request: MintRequest<AzureEntry>): Problem {
  return new Problem(
    "repositories-required",
    `Registry entry "${request.entry.id}" names no tenant, and without one Azure gives tokens for named repositories only. ` +
      `Name "repositories" in the request, or set azure_tenant_id in the entry.`,
  );
}
