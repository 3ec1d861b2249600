import { randomUUID } from "node:crypto";
import { type CloudReply, type CloudRequest, formOf, jsonReply } from "../cloud-endpoint.js";
import { WebIdentityError, type WebIdentityVerifier } from "../web-identity.js";
import type { EntraDirectory, ServicePrincipal } from "./entra-directory.js";

/**
 * Answers the client-credentials grant of Microsoft Entra: `POST /<tenant>/oauth2/v2.0/token`. The scope has to be
 * `<audience>/.default`. Refusals carry the AADSTS code that Entra gives.
 * Source: Microsoft identity platform documentation, "OAuth 2.0 client credentials flow" and "Entra authentication
 * and authorization error codes".
 */
export async function answerEntra(
  directory: EntraDirectory,
  webIdentities: WebIdentityVerifier,
  audiences: readonly string[],
  request: CloudRequest,
): Promise<CloudReply> {
  const tenant = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(request.path)?.[1];
  if (request.method !== "POST" || tenant === undefined) return { status: 404, body: "" };
  const form = formOf(request);
  if (!directory.hasTenant(tenant)) {
    return refuse(
      400,
      "invalid_request",
      90002,
      `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID.`,
    );
  }
  if (form.get("grant_type") !== "client_credentials") {
    return refuse(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.");
  }
  const principal = directory.principalOf(form.get("client_id") ?? "");
  if (principal === undefined || principal.tenantId !== tenant) {
    return refuse(400, "unauthorized_client", 700016, "Application was not found in the directory.");
  }
  if (form.has("client_assertion")) {
    const refused = await refusalOfAssertion(webIdentities, principal, tenantCloud(audiences), form);
    if (refused) return refused;
  } else if (principal.clientSecret === undefined || form.get("client_secret") !== principal.clientSecret) {
    return refuse(
      401,
      "invalid_client",
      7000215,
      "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
    );
  }
  if (directory.isSecretExpired(principal)) {
    return refuse(401, "invalid_client", 7000222, "The provided client secret keys for the app are expired.");
  }
  const scope = form.get("scope") ?? "";
  if (!scope.endsWith("/.default")) {
    return refuse(400, "invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid.");
  }
  const audience = scope.slice(0, -"/.default".length).replace(/\/$/, "");
  if (!audiences.includes(audience)) {
    return refuse(400, "invalid_resource", 500011, "The resource principal was not found in the tenant.");
  }
  return jsonReply(200, {
    token_type: "Bearer",
    expires_in: 3_599,
    ext_expires_in: 3_599,
    access_token: directory.issueAccessToken(principal, audience),
  });
}

/** The audience of a federated credential, by the cloud that the login host is of. */
function tenantCloud(audiences: readonly string[]): string {
  if (audiences.includes("https://management.usgovcloudapi.net")) return "api://AzureADTokenExchangeUSGov";
  if (audiences.includes("https://management.chinacloudapi.cn")) return "api://AzureADTokenExchangeChina";
  return "api://AzureADTokenExchange";
}

/** Source: Microsoft identity platform documentation, "Workload identity federation". */
async function refusalOfAssertion(
  webIdentities: WebIdentityVerifier,
  principal: ServicePrincipal,
  cloudAudience: string,
  form: URLSearchParams,
): Promise<CloudReply | undefined> {
  if (form.get("client_assertion_type") !== "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
    return refuse(400, "invalid_request", 900144, "The request body must contain: 'client_assertion_type'.");
  }
  const identity = await webIdentities.verify(form.get("client_assertion") ?? "").catch((error: unknown) => {
    if (error instanceof WebIdentityError) return error;
    throw error;
  });
  if (identity instanceof WebIdentityError) {
    if (identity.reason === "times") return refuse(401, "invalid_client", 700024, "Not within its valid time range.");
    if (identity.reason === "unreachable") return refuse(400, "invalid_request", 50166, "The endpoint failed.");
    return refuse(401, "invalid_client", 700027, "Client assertion failed signature validation.");
  }
  const ofIssuer = (principal.federatedCredentials ?? []).filter(({ issuer }) => issuer === identity.issuer);
  if (ofIssuer.length === 0) {
    return refuse(401, "invalid_client", 700211, "No matching federated identity record found for the issuer.");
  }
  const ofSubject = ofIssuer.filter(({ subject }) => subject === identity.subject);
  if (ofSubject.length === 0) {
    return refuse(401, "invalid_client", 700213, "No matching federated identity record found for the subject.");
  }
  const isForUs = ofSubject.some(({ audiences }) => audiences.includes(identity.audience));
  if (isForUs && identity.audience === cloudAudience) return undefined;
  return refuse(401, "invalid_client", 700212, "No matching federated identity record found for the audience.");
}

/** Answered when Entra is called too often. */
export function throttledEntra(): CloudReply {
  return { status: 429, headers: { "retry-after": "7" }, body: "" };
}

function refuse(status: number, error: string, code: number, sentence: string): CloudReply {
  const traceId = randomUUID();
  const correlationId = randomUUID();
  return jsonReply(status, {
    error,
    error_description: `AADSTS${code}: ${sentence} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: 2026-01-01 00:00:00Z`,
    error_codes: [code],
    timestamp: "2026-01-01 00:00:00Z",
    trace_id: traceId,
    correlation_id: correlationId,
    error_uri: `https://login.microsoftonline.com/error?code=${code}`,
  });
}
