import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../clock.js";
import { bearerOf, type CloudReply, type CloudRequest, formOf, jsonReply } from "../cloud-endpoint.js";
import { type WebIdentity, WebIdentityError, type WebIdentityVerifier } from "../web-identity.js";
import { type IssuedGoogleToken, readOnlyScope, type ServiceAccountRecord } from "./answer-google-token.js";

/** As `gcloud iam workload-identity-pools providers create-oidc` makes it, with `google.subject=assertion.sub`. */
export type PoolProvider = { issuer: string };

export type GoogleFederationDeps = {
  clock: Clock;
  webIdentities: WebIdentityVerifier;
  accounts: ReadonlyMap<string, ServiceAccountRecord>;
  tokens: Map<string, IssuedGoogleToken>;
  /** By full resource name, without the host. */
  providers: ReadonlyMap<string, PoolProvider>;
  /** `<email> <principal>` of each roles/iam.workloadIdentityUser. */
  mayActAs: ReadonlySet<string>;
};

const actAsScopes = ["https://www.googleapis.com/auth/iam", "https://www.googleapis.com/auth/cloud-platform"];
const federatedSeconds = 3_599;
/** `google.subject` holds no more. */
const maxSubjectLength = 127;

/**
 * Answers `sts.googleapis.com`: an assertion of a provider's issuer becomes an access token of the federated principal.
 * Source: Google Cloud, Security Token Service API, "Method: token".
 */
export async function answerGoogleSts(deps: GoogleFederationDeps, request: CloudRequest): Promise<CloudReply> {
  if (request.method !== "POST" || request.path !== "/v1/token") return jsonReply(404, { error: "not_found" });
  const form = formOf(request);
  const types = ["grant-type:token-exchange", "token-type:access_token", "token-type:jwt"];
  const given = [form.get("grant_type"), form.get("requested_token_type"), form.get("subject_token_type")];
  if (given.join() !== types.map((type) => `urn:ietf:params:oauth:${type}`).join()) {
    return refuse("invalid_request", "Invalid value for a type.");
  }
  const name = /^\/\/iam\.googleapis\.com\/(projects\/.+)$/.exec(form.get("audience") ?? "")?.[1] ?? "";
  const provider = deps.providers.get(name);
  if (provider === undefined) return refuse("invalid_target", "The target service indicated is invalid.");
  const scope = form.get("scope") ?? "";
  // `cloud-platform` would do too, and nothing in this product may ask for it.
  if (scope !== readOnlyScope && scope !== actAsScopes[0]) return refuse("invalid_scope", "Not for this product.");
  const identity = await believed(deps, form.get("subject_token") ?? "");
  if (identity?.issuer !== provider.issuer) {
    return refuse("invalid_grant", "The issuer does not match the expected issuer, or the key is not known.");
  }
  const canonical = [`https://iam.googleapis.com/${name}`, `//iam.googleapis.com/${name}`];
  if (!canonical.includes(identity.audience)) return refuse("invalid_grant", "The audience does not match.");
  if (identity.subject.length > maxSubjectLength) return refuse("invalid_grant", "google.subject is too long.");
  const pool = name.replace(/\/providers\/.*$/, "");
  const email = `principal://iam.googleapis.com/${pool}/subject/${identity.subject}`;
  return jsonReply(200, {
    access_token: issue(deps, { email, scope, expiresAt: deps.clock.inSeconds(federatedSeconds) }),
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    token_type: "Bearer",
    expires_in: federatedSeconds,
  });
}

const Generate = z.strictObject({ scope: z.array(z.string()), lifetime: z.string().regex(/^\d{1,4}s$/) });

/**
 * Answers `iamcredentials.googleapis.com`: who may act as a service account gets an access token of it.
 * Source: Google Cloud, Service Account Credentials API, "Method: projects.serviceAccounts.generateAccessToken".
 */
export function answerIamCredentials(deps: GoogleFederationDeps, request: CloudRequest): CloudReply {
  const [, encoded] = /^\/v1\/projects\/-\/serviceAccounts\/([^/]+):generateAccessToken$/.exec(request.path) ?? [];
  if (request.method !== "POST" || encoded === undefined) return jsonReply(404, { error: { code: 404 } });
  const caller = deps.tokens.get(bearerOf(request) ?? "");
  if (caller === undefined || caller.expiresAt <= deps.clock.now()) return denied(401, "UNAUTHENTICATED");
  const account = deps.accounts.get(decodeURIComponent(encoded));
  const mayAct = account !== undefined && deps.mayActAs.has(`${account.email} ${caller.email}`);
  if (!mayAct || account.disabled || !actAsScopes.includes(caller.scope)) return denied(403, "PERMISSION_DENIED");
  const wanted = Generate.safeParse(JSON.parse(request.body));
  if (!wanted.success || wanted.data.scope.join() !== readOnlyScope) return denied(400, "INVALID_ARGUMENT");
  const seconds = Number.parseInt(wanted.data.lifetime, 10);
  if (seconds > 3_600) return denied(400, "INVALID_ARGUMENT");
  const expiresAt = deps.clock.inSeconds(seconds);
  const accessToken = issue(deps, { email: account.email, scope: readOnlyScope, expiresAt });
  return jsonReply(200, { accessToken, expireTime: expiresAt.toISOString() });
}

async function believed(deps: GoogleFederationDeps, token: string): Promise<WebIdentity | undefined> {
  try {
    return await deps.webIdentities.verify(token);
  } catch (error) {
    if (error instanceof WebIdentityError) return undefined;
    throw error;
  }
}

function issue({ tokens }: GoogleFederationDeps, token: IssuedGoogleToken): string {
  const text = `ya29.d.${randomBytes(48).toString("base64url")}`;
  tokens.set(text, token);
  return text;
}

function refuse(error: string, description: string): CloudReply {
  return jsonReply(400, { error, error_description: description });
}

function denied(code: number, status: string): CloudReply {
  return jsonReply(code, {
    error: { code, status, message: "Permission 'iam.serviceAccounts.getAccessToken' denied." },
  });
}
