import { randomBytes } from "node:crypto";
import jwt from "jsonwebtoken";
import { z } from "zod";
import type { Clock } from "../clock.js";
import { bearerOf, type CloudReply, type CloudRequest, formOf, jsonReply } from "../cloud-endpoint.js";

/** A service account as Google knows it: the public half of its key and what it may read. */
export type ServiceAccountRecord = {
  email: string;
  keyId: string;
  publicKeyPem: string;
  /** Permissions that it holds, by resource: `projects/p`, `projects/p/locations/l/repositories/r`. */
  permissions: Readonly<Record<string, readonly string[]>>;
  /** `<host>/<repository>` prefixes that it may pull from, e.g. `us-docker.pkg.dev/project/repo/`. */
  readable: readonly string[];
  disabled: boolean;
};

export type IssuedGoogleToken = { email: string; scope: string; expiresAt: Date };

export type GoogleTokenDeps = {
  clock: Clock;
  accounts: ReadonlyMap<string, ServiceAccountRecord>;
  tokens: Map<string, IssuedGoogleToken>;
};

export const readOnlyScope = "https://www.googleapis.com/auth/devstorage.read_only";
/** With it the doctor asks for permissions; no job gets it. */
export const readOnlyPlatformScope = "https://www.googleapis.com/auth/cloud-platform.read-only";

const audience = "https://oauth2.googleapis.com/token";
const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const tokenSeconds = 3_599;
const maxAssertionSeconds = 3_600;

const Header = z.object({ alg: z.literal("RS256"), kid: z.string().optional() });
const Claims = z.object({
  iss: z.string(),
  aud: z.string(),
  scope: z.string(),
  iat: z.number().int(),
  exp: z.number().int(),
});
const Decoded = z.object({ header: Header, payload: Claims });

/**
 * Answers Google's token endpoint for the JWT bearer grant (RFC 7523). The assertion is verified with the account's
 * public key; issuer, audience, scope and times have to fit, and a scope that can change anything is refused although
 * Google would grant it: nothing in this product may ask for it.
 * Source: Google Identity, "Using OAuth 2.0 for Server to Server Applications".
 */
export function answerGoogleToken(deps: GoogleTokenDeps, request: CloudRequest): CloudReply {
  if (request.method === "POST" && request.path === "/tokeninfo") return tokenInfo(deps, request);
  if (request.method !== "POST" || request.path !== "/token") return jsonReply(404, { error: "not_found" });
  const form = formOf(request);
  if (form.get("grant_type") !== jwtBearerGrant) return refuse("unsupported_grant_type", "Invalid grant_type");
  const assertion = form.get("assertion") ?? "";
  const decoded = Decoded.safeParse(jwt.decode(assertion, { complete: true }));
  if (!decoded.success) return refuse("invalid_grant", "Invalid JWT: the assertion cannot be read.");
  const { header, payload } = decoded.data;
  const account = deps.accounts.get(payload.iss);
  if (account === undefined) return refuse("invalid_grant", "Invalid grant: account not found");
  if (account.disabled) return refuse("invalid_grant", "Account has been disabled.");
  if (header.kid !== undefined && header.kid !== account.keyId)
    return refuse("invalid_grant", "Invalid JWT Signature.");
  if (!isSignedBy(account.publicKeyPem, assertion)) return refuse("invalid_grant", "Invalid JWT Signature.");
  if (payload.aud !== audience) return refuse("invalid_grant", "Failed audience check.");
  const now = deps.clock.nowSeconds();
  if (payload.exp <= now || payload.iat > now + 60 || payload.exp - payload.iat > maxAssertionSeconds) {
    return refuse(
      "invalid_grant",
      "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
    );
  }
  if (![readOnlyScope, readOnlyPlatformScope].includes(payload.scope))
    return refuse("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
  const accessToken = `ya29.c.${randomBytes(48).toString("base64url")}`;
  deps.tokens.set(accessToken, {
    email: account.email,
    scope: payload.scope,
    expiresAt: deps.clock.inSeconds(tokenSeconds),
  });
  return jsonReply(200, { access_token: accessToken, expires_in: tokenSeconds, token_type: "Bearer" });
}

/** What Google says of an access token; the e-mail only where a scope allows that, which none here does. */
function tokenInfo({ clock, tokens }: GoogleTokenDeps, request: CloudRequest): CloudReply {
  const token = tokens.get(bearerOf(request) ?? "");
  if (token === undefined || token.expiresAt <= clock.now()) return refuse("invalid_token", "Invalid Value");
  return jsonReply(200, { azp: "100000000000000000001", scope: token.scope, access_type: "online" });
}

/** Answered when the token endpoint is called too often. */
export function throttledGoogle(): CloudReply {
  return jsonReply(
    429,
    { error: "rate_limit_exceeded", error_description: "Rate limit exceeded." },
    { "retry-after": "7" },
  );
}

// Times are judged apart, by the stand-ins' clock.
function isSignedBy(publicKeyPem: string, assertion: string): boolean {
  try {
    jwt.verify(assertion, publicKeyPem, { algorithms: ["RS256"], ignoreExpiration: true, ignoreNotBefore: true });
    return true;
  } catch {
    return false;
  }
}

function refuse(error: string, description: string): CloudReply {
  return jsonReply(400, { error, error_description: description });
}
