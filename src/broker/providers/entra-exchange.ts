import { z } from "zod";
import { Problem } from "../../core/problem.js";
import { ForeignToken } from "../../outbound/foreign-json.js";
import type { AzurePrincipal } from "../secret-formats/azure-principal.js";
import { audiencesOf, azureCloudOf } from "./azure-hosts.js";
import type { CloudOutbound } from "./cloud-hosts.js";
import { explainEntraError } from "./entra-errors.js";
import { postForm } from "./post-form.js";
import {
  CredentialExpired,
  type Named,
  parseJsonBody,
  readJson,
  throwUnlessAnswered,
  upstreamRefused,
} from "./upstream-reply.js";

const entraReply = z.object({ access_token: ForeignToken });
const exchangeReply = z.object({ refresh_token: ForeignToken });

// The tenant does not know the audience's service principal; the other audience may still be known.
const unknownAudience = 500_011;
const expiredSecret = 7_000_222;

/** A client of Entra: its id, and how it proves that it is that, as fields of the form. Asked anew for each request. */
export type EntraClient = { clientId: string; prove(): Promise<Readonly<Record<string, string>>> };

/** The proof of a client that has no secret: what an issuer that it trusts has signed. RFC 7523, section 2.2. */
export function clientAssertion(assertion: string): Readonly<Record<string, string>> {
  return {
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: assertion,
  };
}

/** A client that proves itself by its secret. */
export function clientWithSecret({ clientId, clientSecret }: AzurePrincipal): EntraClient {
  return { clientId, prove: async () => ({ client_secret: clientSecret }) };
}

type Step<T> = { ok: true; value: T } | { ok: false; problem: Problem };

/**
 * Path C of an ACR login: the principal's Entra token is exchanged for a refresh token of the registry. The audience of
 * Azure Resource Manager comes first; a registry that does not take it is offered the registry service's own.
 * Source: Azure/acr, docs/AAD-OAuth.md.
 */
export async function exchangeForRefreshToken(
  deps: { outbound: CloudOutbound; nowMs: () => number },
  request: Named & { signal: AbortSignal },
  login: { host: string; tenantId: string } & EntraClient,
): Promise<string> {
  const cloud = azureCloudOf(login.host);
  let last: Problem | undefined;
  for (const audience of cloud === undefined ? [] : audiencesOf(cloud)) {
    const token = await entraToken(audience, cloud?.loginHost ?? "");
    const refreshToken = token.ok ? await exchange(token.value) : token;
    if (refreshToken.ok) return refreshToken.value;
    // The first refusal names the usual cause; a later one is a consequence of the fallback.
    last ??= refreshToken.problem;
  }
  throw last ?? new Problem("destination-refused", `${login.host} is not a registry of Azure.`);

  async function entraToken(audience: string, loginHost: string): Promise<Step<string>> {
    const url = `https://${loginHost}/${login.tenantId}/oauth2/v2.0/token`;
    const reply = await postForm(deps.outbound, request, url, {
      grant_type: "client_credentials",
      client_id: login.clientId,
      ...(await login.prove()),
      scope: `${audience}/.default`,
    });
    throwUnlessAnswered(loginHost, reply, deps.nowMs());
    if (reply.status === 200) return { ok: true, value: readJson(loginHost, reply, entraReply).access_token };
    const error = explainEntraError(parseJsonBody(reply));
    if (error?.isTransient === true) {
      throw new Problem("upstream-unreachable", `Microsoft Entra failed: ${error.sentence} Try again later.`);
    }
    const cause = error?.code === expiredSecret ? new CredentialExpired("AADSTS7000222") : undefined;
    const problem = upstreamRefused(request, "Microsoft Entra", error?.sentence ?? `status ${reply.status}.`, cause);
    if (error?.code === unknownAudience) return { ok: false, problem };
    throw problem;
  }

  async function exchange(accessToken: string): Promise<Step<string>> {
    const reply = await postForm(deps.outbound, request, `https://${login.host}/oauth2/exchange`, {
      grant_type: "access_token",
      service: login.host,
      tenant: login.tenantId,
      access_token: accessToken,
    });
    throwUnlessAnswered(login.host, reply, deps.nowMs());
    if (reply.status === 200) return { ok: true, value: readJson(login.host, reply, exchangeReply).refresh_token };
    const reason = `status ${reply.status}. Give the service principal the role AcrPull on this registry.`;
    return { ok: false, problem: upstreamRefused(request, login.host, reason) };
  }
}
