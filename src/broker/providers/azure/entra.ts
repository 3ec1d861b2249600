import { z } from "zod";
import { Problem } from "../../../core/problem.js";
import { ForeignToken, listOf, optionalMember } from "../../../outbound/foreign-json.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import {
  CredentialExpired,
  type Named,
  parseJsonBody,
  postForm,
  readJson,
  throwUnlessAnswered,
  upstreamRefused,
} from "../upstream-reply.js";
import { audiencesOf, azureCloudOf } from "./hosts.js";
import type { AzurePrincipal } from "./principal.js";

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

const entraError = z.object({
  error: optionalMember(z.string()),
  error_codes: optionalMember(listOf(z.number().int())),
  error_description: optionalMember(z.string()),
});

const notTrusted =
  "the application trusts another issuer, subject or audience than this entry's. GET /v1/factories/{factory}/federation prints what it has to trust.";

// Source: Microsoft Entra authentication and authorization error codes.
const meanings: ReadonlyMap<number, string> = new Map([
  [7000215, "the client secret is wrong. Store the secret's value, not its id."],
  [7000222, "the client secret has expired. Make a new one and store it."],
  [7000112, "the application is disabled."],
  [7000229, "the application has no service principal in this tenant."],
  [700016, "the application does not exist in this tenant. Check the client id and the tenant."],
  [700054, "the application may not ask for this kind of token."],
  [70021, notTrusted],
  [700211, notTrusted],
  [700212, notTrusted],
  [700213, notTrusted],
  [700024, "what this service signed was not valid at the time. Check the clock of this service."],
  [700027, "the key that it was signed with is not known. Check that the public URL of this service is reached."],
  [50166, "Entra could not fetch the keys of this service from its public URL. Check that it is reached from outside."],
  [90002, "the tenant does not exist. Check azure_tenant_id, or the tenant in the secret."],
  [900023, "the tenant id is malformed. Check azure_tenant_id, or the tenant in the secret."],
  [900144, "a part of the request is missing. Check that the secret is complete."],
  [500011, "the registry service is not known in this tenant. Check the tenant."],
  [500014, "the service principal is disabled in this tenant."],
  [
    53003,
    "a Conditional Access policy blocks the sign-in. Exempt the service principal, or the addresses of this service.",
  ],
  [
    53000,
    "a Conditional Access policy blocks the sign-in. Exempt the service principal, or the addresses of this service.",
  ],
  [50034, "the account does not exist in this tenant."],
  [50053, "the account is locked after too many failed sign-ins."],
  [50196, "Entra sees a loop of sign-ins. Wait some minutes."],
  [70011, "the scope is not valid for this tenant's cloud."],
]);

const transientCodes: ReadonlySet<number> = new Set([90033, 90034, 50196]);

/** The AADSTS code of an Entra error reply and what it means, or `undefined` when the reply is not one. */
export function explainEntraError(body: unknown): { code: number; sentence: string; isTransient: boolean } | undefined {
  const parsed = entraError.safeParse(body);
  if (!parsed.success) return undefined;
  const fromText = /AADSTS([0-9]{4,9})/.exec(parsed.data.error_description ?? "")?.[1];
  const code = parsed.data.error_codes?.[0] ?? (fromText === undefined ? undefined : Number(fromText));
  if (code === undefined) return undefined;
  const meaning = meanings.get(code) ?? "see the code in Microsoft's list of AADSTS errors.";
  return { code, sentence: `AADSTS${code}, ${meaning}`, isTransient: transientCodes.has(code) };
}
