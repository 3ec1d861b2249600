import { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import { permissions } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";
import { FactoryName, ProblemDocument } from "../../http/contract.js";
import { oauthErrors } from "../../http/oauth-errors.js";
import { form, route } from "../../http/route.js";
import { answerTokenRequest, grantTypes, type TokenDeps } from "./answer-token-request.js";
import { presentedClient } from "./authenticate-client.js";
import { ecJwk } from "./keys/rotate-signing-key.js";
import type { SigningKeys } from "./keys/signing-keys.js";

const text = (maxLength: number) => z.string().max(maxLength);

/** The form of the token endpoint. What it does not know it ignores: RFC 6749, section 3.2. */
export const TokenRequest = z
  .object({
    grant_type: text(200).optional().meta({
      description:
        "`client_credentials`, `refresh_token`, or `urn:ietf:params:oauth:grant-type:token-exchange` for an ID token.",
      example: "client_credentials",
    }),
    client_id: text(200).optional().meta({ description: "Unless HTTP Basic presents the client." }),
    client_secret: text(200).optional(),
    refresh_token: text(200).optional(),
    scope: text(2_000)
      .optional()
      .meta({ description: "Permissions, with a space between. Absent: all of the client." }),
    factory: text(200).optional().meta({ description: "Whose trust rules judge the `subject_token`." }),
    subject_token: text(16_384).optional().meta({ description: "The ID token to exchange (RFC 8693)." }),
    subject_token_type: text(200)
      .optional()
      .meta({ description: "`urn:ietf:params:oauth:token-type:id_token`, or `...:jwt`." }),
    requested_token_type: text(200)
      .optional()
      .meta({ description: "Only `urn:ietf:params:oauth:token-type:access_token`." }),
    actor_token: text(16_384).optional().meta({ description: "Not supported." }),
  })
  .meta({ id: "TokenRequest" });

export const TokenReply = z
  .object({
    token_type: z.literal("Bearer"),
    access_token: z.string(),
    expires_in: z.int().meta({ description: "Seconds; a minute less than it lives." }),
    refresh_token: z.string().optional().meta({ description: "Replaces the one that was presented." }),
    scope: z.string().meta({ description: "The permissions, with a space between." }),
    issued_token_type: z.string().optional().meta({ description: "Of an exchange." }),
    orgs: z.array(z.object({ name: FactoryName }).meta({ id: "TokenOrganisation" })).meta({
      description: "The one factory, where fioctl looks for it.",
    }),
  })
  .meta({ id: "TokenReply" });

export const OAuthError = ProblemDocument.extend({
  error: z.string().meta({ description: "As RFC 6749, section 5.2, names it." }),
  error_description: z.string().meta({ description: "The same sentence as `detail`." }),
}).meta({ id: "OAuthError", description: "RFC 6749, section 5.2, with the members of a problem beside." });

export const PublicKey = z
  .object({
    kty: z.string(),
    crv: z.string(),
    x: z.string(),
    y: z.string(),
    kid: z.string(),
    use: z.string(),
    alg: z.string(),
  })
  .meta({ id: "PublicKey", description: "RFC 7517." });

export const PublicKeySet = z.object({ keys: z.array(PublicKey) }).meta({ id: "PublicKeySet" });

/** RFC 8414, section 2. */
export const AuthorizationServer = z
  .object({
    issuer: z.string(),
    token_endpoint: z.string(),
    jwks_uri: z.string(),
    scopes_supported: z.array(z.string()),
    response_types_supported: z.array(z.string()),
    grant_types_supported: z.array(z.string()),
    token_endpoint_auth_methods_supported: z.array(z.string()),
  })
  .meta({ id: "AuthorizationServer" });

/** An ID token of 16 KiB, and the fields beside it. */
const maxFormBytes = 20 * 1024;

/** Long enough to spare us requests, and no longer than a replaced key goes on verifying. */
const cacheable = { "Cache-Control": "public, max-age=300" };

type Asker = { address: string; clientId: string | undefined };

type Limited = {
  tokenEndpointFailures: { refuseTooMany(asker: Asker): Promise<void>; failed(asker: Asker): Promise<void> };
};

const requestToken = route(
  {
    id: "requestToken",
    method: "post",
    path: "/oauth/token",
    trailingSlash: "both",
    tag: "OAuth",
    summary: "Get an access token",
    description:
      "For an OAuth client (`client_credentials`, then `refresh_token`), or for an ID token that a trust rule of the factory lets in (token exchange). A client presents itself in the form or by HTTP Basic.",
    auth: "anyone",
    body: form(TokenRequest, maxFormBytes),
    replies: {
      200: { description: "The token.", content: { "application/json": TokenReply } },
      400: { description: "What is wrong with the request.", content: { "application/json": OAuthError } },
      401: { description: "No valid client, or no valid ID token.", content: { "application/json": OAuthError } },
      413: { description: "The form is too large.", content: { "application/json": OAuthError } },
      415: { description: "The body is not a form.", content: { "application/json": OAuthError } },
    },
    problems: ["conflict", "too-many-requests"],
    errors: oauthErrors,
    holdsCredential: true,
  },
  async (deps: TokenDeps & Limited, { body, request }) => {
    const client = presentedClient({ authorization: request.authorization, form: body });
    const reply = await limited(deps, { address: request.address, clientId: client?.id }, () =>
      answerTokenRequest(deps, { form: body, client, requested: requestedBy(request) }),
    );
    // RFC 6749, section 5.1.
    return { status: 200, body: reply, headers: { Pragma: "no-cache" } };
  },
);

const guesses: ReadonlySet<string> = new Set(["invalid-client", "invalid-grant", "unauthenticated"]);

// Whoever guesses is refused before anything is looked up or verified.
async function limited<T>(deps: Limited, asker: Asker, answer: () => Promise<T>): Promise<T> {
  await deps.tokenEndpointFailures.refuseTooMany(asker);
  try {
    return await answer();
  } catch (error) {
    if (error instanceof Problem && guesses.has(error.code)) await deps.tokenEndpointFailures.failed(asker);
    throw error;
  }
}

const getKeySet = route(
  {
    id: "getKeySet",
    method: "get",
    path: "/.well-known/jwks.json",
    tag: "OAuth",
    summary: "The keys that access tokens are signed with",
    auth: "anyone",
    replies: { 200: { description: "A JWK set.", content: { "application/json": PublicKeySet } } },
    problems: [],
  },
  async ({ signingKeys }: { signingKeys: SigningKeys }) => ({
    status: 200,
    body: { keys: (await signingKeys.published()).map(ecJwk) },
    headers: cacheable,
  }),
);

const getAuthorizationServer = route(
  {
    id: "getAuthorizationServer",
    method: "get",
    path: "/.well-known/oauth-authorization-server",
    tag: "OAuth",
    summary: "What an OAuth client needs to know (RFC 8414)",
    auth: "anyone",
    replies: { 200: { description: "The metadata.", content: { "application/json": AuthorizationServer } } },
    problems: [],
  },
  async ({ publicUrl }: { publicUrl: () => string }) => ({
    status: 200,
    body: {
      issuer: publicUrl(),
      token_endpoint: `${publicUrl()}/oauth/token/`,
      jwks_uri: `${publicUrl()}/.well-known/jwks.json`,
      scopes_supported: [...permissions],
      response_types_supported: [],
      grant_types_supported: [...grantTypes],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
    },
    headers: cacheable,
  }),
);

export const tokenRoutes = [requestToken, getKeySet, getAuthorizationServer];
