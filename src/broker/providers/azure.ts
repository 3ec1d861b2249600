import { z } from "zod";
import type { AzureEntry } from "../../factory-config/entry.js";
import { azureAudience } from "../../federation/audiences.js";
import { Problem } from "../../http/problem.js";
import type { OutboundReply } from "../../outbound/outbound.js";
import { type MintedToken, type MintRequest, type RegistryProvider, secretOf } from "../provider.js";
import { type AzurePrincipal, isTenantId, parseAzurePrincipal } from "../secret-formats/azure-principal.js";
import { basicAuthorization } from "../secret-formats/user-password.js";
import { azureCloudOf, isAzureHostFor } from "./azure-hosts.js";
import { type CloudOutbound, onlyToHosts } from "./cloud-hosts.js";
import { clientAssertion, type EntraClient, exchangeForRefreshToken } from "./entra-exchange.js";
import { postForm } from "./post-form.js";
import { checkRepositoryNames } from "./repository-names.js";
import { scopeGranted } from "./scope-demand.js";
import { readTokenClaims } from "./token-claims.js";
import { readJson, secretMalformed, throwUnlessAnswered, upstreamRefused } from "./upstream-reply.js";

export type AzureDeps = { outbound: CloudOutbound; now: () => Date };

const refreshTokenUser = "00000000-0000-0000-0000-000000000000";
const refreshTokenSeconds = 3 * 3_600;
// The token protocol's own default for a reply that says nothing (distribution spec, auth/token).
const unknownTokenSeconds = 60;

const accessReply = z.object({ access_token: z.string().min(1), expires_in: z.number().positive().optional() });

/**
 * Azure Container Registry. Without a tenant (path A) the registry's token service takes the principal's id and
 * password and gives a bearer for the named repositories. With a tenant (path C) Microsoft Entra vouches for the
 * principal: without repositories a refresh token is handed out as a password, with repositories a bearer made from it.
 */
export function createAzureProvider(deps: AzureDeps): RegistryProvider<AzureEntry> {
  const nowMs = () => deps.now().getTime();

  async function mint(request: MintRequest<AzureEntry>): Promise<MintedToken> {
    const host = registryHostOf(request);
    const { repositories } = request;
    checkRepositoryNames(repositories ?? []);
    const outbound = onlyToHosts(deps.outbound, "Azure", (candidate) => isAzureHostFor(host, candidate));
    const signIn = readSignIn(request, host);
    if (signIn.tenantId === undefined) {
      if (repositories === undefined) throw repositoriesRequired(request);
      const reply = await askWithPassword(outbound, request, { host, repositories }, signIn.principal);
      return bearerOf(request, { host, repositories }, reply, nowMs());
    }
    const refreshToken = await exchangeForRefreshToken({ outbound, nowMs }, request, { host, ...signIn });
    if (repositories === undefined) return passwordOf(host, refreshToken, nowMs());
    const reply = await askWithRefreshToken(outbound, request, { host, repositories }, refreshToken);
    return bearerOf(request, { host, repositories }, reply, nowMs());
  }

  return { mint };
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
  const { access_token, expires_in } = readJson(host, reply, accessReply);
  const claims = readTokenClaims(access_token);
  const expiresAt = claims.expiresAt ?? new Date(nowMs + (expires_in ?? unknownTokenSeconds) * 1_000);
  const scope = scopeGranted(request, host, repositories, claims);
  return {
    registry: host,
    type: "azure",
    kind: "bearer",
    bearer: access_token,
    expiresAt,
    ...scope,
    revocable: false,
  };
}

function passwordOf(host: string, refreshToken: string, nowMs: number): MintedToken {
  const expiresAt = readTokenClaims(refreshToken).expiresAt ?? new Date(nowMs + refreshTokenSeconds * 1_000);
  return {
    registry: host,
    type: "azure",
    kind: "password",
    username: refreshTokenUser,
    password: refreshToken,
    expiresAt,
    scopeEnforcedBy: "none",
    revocable: false,
  };
}

function askWithRefreshToken(
  outbound: CloudOutbound,
  request: { signal: AbortSignal },
  { host, repositories }: Wanted,
  refreshToken: string,
): Promise<OutboundReply> {
  return postForm(outbound, request, `https://${host}/oauth2/token`, {
    grant_type: "refresh_token",
    service: host,
    // RFC 6749, section 3.3: several scopes in one value, with spaces between.
    scope: scopesOf(repositories).join(" "),
    refresh_token: refreshToken,
  });
}

function askWithPassword(
  outbound: CloudOutbound,
  request: { signal: AbortSignal },
  { host, repositories }: Wanted,
  principal: AzurePrincipal,
): Promise<OutboundReply> {
  const url = new URL(`https://${host}/oauth2/token`);
  url.searchParams.append("service", host);
  for (const scope of scopesOf(repositories)) url.searchParams.append("scope", scope);
  const authorization = basicAuthorization({ user: principal.clientId, password: principal.clientSecret });
  return outbound.request({ url, headers: { authorization }, signal: request.signal });
}

function scopesOf(repositories: readonly string[]): string[] {
  return repositories.map((name) => `repository:${name}:pull`);
}

function registryHostOf(request: MintRequest<AzureEntry>): string {
  if (request.host === undefined) {
    throw new Problem(
      "registry-required",
      `Registry entry "${request.entry.id}" has no url: name the registry host, such as example.azurecr.io.`,
    );
  }
  if (azureCloudOf(request.host) !== undefined) return request.host;
  throw new Problem(
    "destination-refused",
    `${request.host} is not a registry of Azure, so no Azure credential is used for it.`,
  );
}

/** With a tenant how to sign in to Entra, without one the principal whose password the registry takes itself. */
type SignIn = ({ tenantId: string } & EntraClient) | { tenantId: undefined; principal: AzurePrincipal };

function readSignIn(request: MintRequest<AzureEntry>, host: string): SignIn {
  const { clientId, tenantId } = request.entry;
  if (clientId !== undefined) {
    const prove = async () => clientAssertion(await request.assert(azureAudience(host)));
    return { tenantId: checkedTenant(request, tenantId ?? ""), clientId, prove };
  }
  const principal = parseAzurePrincipal(secretOf(request).value.revealText());
  if (!principal.ok) throw secretMalformed(request, principal.mistakes);
  const ownTenant = tenantId ?? principal.value.tenantId;
  if (ownTenant === undefined) return { tenantId: undefined, principal: principal.value };
  const { clientSecret } = principal.value;
  const prove = async () => ({ client_secret: clientSecret });
  return { tenantId: checkedTenant(request, ownTenant), clientId: principal.value.clientId, prove };
}

function checkedTenant(request: MintRequest<AzureEntry>, tenantId: string): string {
  if (isTenantId(tenantId)) return tenantId;
  throw new Problem(
    "invalid-config",
    `azure_tenant_id of registry entry "${request.entry.id}" is neither a UUID nor a domain name.`,
  );
}

function repositoriesRequired(request: MintRequest<AzureEntry>): Problem {
  return new Problem(
    "repositories-required",
    `Registry entry "${request.entry.id}" names no tenant, and without one Azure gives tokens for named repositories only. ` +
      `Name "repositories" in the request, or set azure_tenant_id in the entry.`,
  );
}
