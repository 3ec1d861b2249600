import { z } from "zod";
import { Problem } from "../../../core/problem.js";
import type { AzureEntry } from "../../../factory-config/entry.js";
import { ForeignToken, StatedSeconds } from "../../../outbound/foreign-json.js";
import type { OutboundReply } from "../../../outbound/outbound.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import { basicAuthorization } from "../docker/user-password.js";
import type { MintRequest, OpenedSecret } from "../provider.js";
import { postForm, secretMalformed } from "../upstream-reply.js";
import { azureCloudOf } from "./hosts.js";
import { type AzurePrincipal, isTenantId, parseAzurePrincipal } from "./principal.js";

type AzureRequest = MintRequest<AzureEntry>;

/** What a registry's token service answers. */
export const acrAccessReply = z.object({
  access_token: ForeignToken,
  expires_in: StatedSeconds,
});

type Way = { outbound: CloudOutbound; signal: AbortSignal };

/** Scopes as the token service takes them: `repository:<name>:<action>,<action>`. */
type Wanted = { host: string; scopes: readonly string[] };

/** Asks the token service with a refresh token of the registry. Source: Azure/acr, docs/AAD-OAuth.md. */
export function askAcrWithRefreshToken(
  { outbound, signal }: Way,
  { host, scopes }: Wanted,
  refreshToken: string,
): Promise<OutboundReply> {
  return postForm(outbound, { signal }, `https://${host}/oauth2/token`, {
    grant_type: "refresh_token",
    service: host,
    // RFC 6749, section 3.3: several scopes in one value, with spaces between.
    scope: scopes.join(" "),
    refresh_token: refreshToken,
  });
}

/** Asks it with the principal's id and password. Without a scope it says no more than whether they are right. */
export function askAcrWithPassword(
  { outbound, signal }: Way,
  { host, scopes }: Wanted,
  principal: AzurePrincipal,
): Promise<OutboundReply> {
  const url = new URL(`https://${host}/oauth2/token`);
  url.searchParams.append("service", host);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const authorization = basicAuthorization({ user: principal.clientId, password: principal.clientSecret });
  return outbound.request({ url, headers: { authorization }, signal });
}

/** The registry's host. @throws Problem `registry-required` when no one names it, `destination-refused` for another cloud's */
export function readAcrHost(request: Pick<AzureRequest, "host" | "entry">): string {
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

/** Reads the secret; the entry's tenant goes before the secret's own. @throws Problem `secret-malformed`, `invalid-config` */
export function readAzurePrincipal(request: { entry: AzureEntry; secret: OpenedSecret }): {
  principal: AzurePrincipal;
  tenantId: string | undefined;
} {
  const principal = parseAzurePrincipal(request.secret.value.revealText());
  if (!principal.ok) throw secretMalformed(request, principal.mistakes);
  const tenantId = request.entry.tenantId ?? principal.value.tenantId;
  if (tenantId === undefined || isTenantId(tenantId)) return { principal: principal.value, tenantId };
  throw new Problem(
    "invalid-config",
    `azure_tenant_id of registry entry "${request.entry.id}" is neither a UUID nor a domain name.`,
  );
}
