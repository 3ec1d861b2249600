import { randomUUID } from "node:crypto";
import { type CloudReply, type CloudRequest, formOf, jsonReply } from "../cloud-endpoint.js";
import type { EntraDirectory } from "./entra-directory.js";

/**
 * Answers the client-credentials grant of Microsoft Entra: `POST /<tenant>/oauth2/v2.0/token`. The scope has to be
 * `<audience>/.default`. Refusals carry the AADSTS code that Entra gives.
 * Source: Microsoft identity platform documentation, "OAuth 2.0 client credentials flow" and "Entra authentication
 * and authorization error codes".
 */
export function answerEntra(
  directory: EntraDirectory,
  audiences: readonly string[],
  request: CloudRequest,
): CloudReply {
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
  if (form.get("client_secret") !== principal.clientSecret) {
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
