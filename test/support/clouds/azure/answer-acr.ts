import { randomUUID } from "node:crypto";
import { z } from "zod";
import {
  basicOf,
  bearerOf,
  type CloudReply,
  type CloudRequest,
  formOf,
  jsonReply,
  queryOf,
} from "../cloud-endpoint.js";
import { grantScopes, parseScopes, type ScopeAccess } from "../docker-scope.js";
import { parseRegistryPath, registryError, servedReply } from "../registry-v2.js";
import type { JwtSigner } from "../sign-jwt.js";
import type { EntraDirectory } from "./entra-directory.js";

export type AcrDeps = {
  directory: EntraDirectory;
  host: string;
  /** Of the Entra tokens that it takes. */
  audiences: readonly string[];
  signer: JwtSigner;
  /** What the access claim of a token is. */
  access(granted: readonly ScopeAccess[]): unknown;
};

/** The user name that marks a password as an ACR refresh token. */
export const refreshTokenUser = "00000000-0000-0000-0000-000000000000";

const accessTokenSeconds = 4_500;
const refreshTokenSeconds = 10_800;

const EntraClaims = z.object({ aud: z.string(), tid: z.string(), appid: z.string() });
const RefreshClaims = z.object({ aud: z.string(), appid: z.string(), grant_type: z.literal("refresh_token") });
const AccessClaims = z.object({
  aud: z.string(),
  grant_type: z.literal("access_token"),
  access: z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
});

/**
 * Answers one Azure container registry: its token service and its `/v2/`.
 * Source: Azure/acr, docs/AAD-OAuth.md; Azure Container Registry REST API, "Access Tokens" and "Refresh Tokens".
 */
export function answerAcr(deps: AcrDeps, request: CloudRequest): CloudReply {
  switch (`${request.method} ${request.path}`) {
    case "GET /oauth2/token":
      return tokenFromLogin(deps, request);
    case "POST /oauth2/token":
      return tokenFromRefresh(deps, formOf(request));
    case "POST /oauth2/exchange":
      return exchange(deps, formOf(request));
    default:
      return answerPull(deps, request);
  }
}

/** Path A: id and password of the principal, or a refresh token under its marked user name. */
function tokenFromLogin(deps: AcrDeps, request: CloudRequest): CloudReply {
  const query = queryOf(request);
  if (query.get("service") !== deps.host) return unauthorized(deps, "the service is not this registry");
  const basic = basicOf(request);
  if (basic === undefined) return unauthorized(deps, "authentication required");
  const clientId =
    basic.user === refreshTokenUser
      ? refreshTokenOwner(deps, basic.password)
      : deps.directory.authenticate(basic.user, basic.password)?.clientId;
  if (clientId === undefined) return unauthorized(deps, "invalid username or password");
  return accessToken(deps, clientId, query.getAll("scope"));
}

function tokenFromRefresh(deps: AcrDeps, form: URLSearchParams): CloudReply {
  if (form.get("grant_type") !== "refresh_token" || form.get("service") !== deps.host) {
    return unauthorized(deps, "grant_type and service are not for this registry");
  }
  const clientId = refreshTokenOwner(deps, form.get("refresh_token") ?? "");
  if (clientId === undefined) return unauthorized(deps, "the refresh token is not valid");
  return accessToken(deps, clientId, form.getAll("scope"));
}

/** Path C: an Entra access token of the right tenant becomes a refresh token of this registry. */
function exchange(deps: AcrDeps, form: URLSearchParams): CloudReply {
  if (form.get("grant_type") !== "access_token" || form.get("service") !== deps.host) {
    return unauthorized(deps, "grant_type and service are not for this registry");
  }
  const claims = EntraClaims.safeParse(deps.directory.signer.verify(form.get("access_token") ?? ""));
  if (!claims.success || !deps.audiences.includes(claims.data.aud)) {
    return unauthorized(deps, "the access token is not valid for this registry");
  }
  if (form.get("tenant") !== claims.data.tid) return unauthorized(deps, "the tenant is not the token's");
  const principal = deps.directory.principalOf(claims.data.appid);
  if (principal?.rights[deps.host] === undefined) return unauthorized(deps, "the principal has no role here");
  const refreshToken = deps.signer.sign(
    {
      jti: randomUUID(),
      sub: principal.clientId,
      iss: "Azure Container Registry",
      aud: deps.host,
      version: "1.0",
      grant_type: "refresh_token",
      appid: principal.clientId,
      tenant: principal.tenantId,
      permissions: { actions: ["read"], notActions: [] },
      roles: [],
    },
    refreshTokenSeconds,
  );
  return jsonReply(200, { refresh_token: refreshToken });
}

function accessToken(deps: AcrDeps, clientId: string, scopeValues: readonly string[]): CloudReply {
  const wanted = parseScopes(scopeValues);
  if (wanted === undefined) return registryError(400, "UNSUPPORTED", "the scope is not valid");
  const access = grantScopes(wanted, deps.directory.principalOf(clientId)?.rights[deps.host] ?? {});
  const token = deps.signer.sign(
    {
      jti: randomUUID(),
      sub: clientId,
      iss: "Azure Container Registry",
      aud: deps.host,
      version: "1.0",
      grant_type: "access_token",
      appid: clientId,
      access: deps.access(access),
      roles: [],
    },
    accessTokenSeconds,
  );
  return jsonReply(200, { access_token: token });
}

function answerPull(deps: AcrDeps, request: CloudRequest): CloudReply {
  const path = parseRegistryPath(request.path);
  if (path === undefined || request.method !== "GET") return registryError(404, "NAME_UNKNOWN", "not served here");
  const claims = AccessClaims.safeParse(deps.signer.verify(bearerOf(request) ?? ""));
  if (!claims.success || claims.data.aud !== deps.host)
    return unauthorized(deps, "authentication required", path.repository);
  const granted = claims.data.access.some(
    (access) => access.type === "repository" && access.name === path.repository && access.actions.includes("pull"),
  );
  return path.repository === undefined || granted
    ? servedReply(path)
    : unauthorized(deps, "authentication required", path.repository);
}

function refreshTokenOwner(deps: AcrDeps, token: string): string | undefined {
  const claims = RefreshClaims.safeParse(deps.signer.verify(token));
  return claims.success && claims.data.aud === deps.host ? claims.data.appid : undefined;
}

function unauthorized(deps: AcrDeps, message: string, repository?: string): CloudReply {
  const scope = repository === undefined ? "" : `,scope="repository:${repository}:pull"`;
  const challenge = `Bearer realm="https://${deps.host}/oauth2/token",service="${deps.host}"${scope}`;
  return registryError(
    401,
    "UNAUTHORIZED",
    `${message}, visit https://aka.ms/acr/authorization for more information.`,
    {
      "www-authenticate": challenge,
    },
  );
}
